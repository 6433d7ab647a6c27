package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What a map tells those that look without its monitor. */
@Timeout(60)
class ImageMapTest {
    private static final int CLUSTER_BITS = 16;
    private static final int CLUSTERS = 60_000;

    private final Layout layout = new Layout(CLUSTER_BITS, (long) CLUSTERS << CLUSTER_BITS);
    private final ImageMap map = new ImageMap(
            layout,
            new TableCache(layout, new long[(int) layout.l1Entries()], 64),
            new HostSpace(8, Long.MAX_VALUE >> CLUSTER_BITS + 1),
            null,
            new IdleWorker());
    /** So many clusters, from the first on, are stable. */
    private final AtomicInteger stable = new AtomicInteger();

    /** A durable write trusts this: it goes to a cluster without a checkpoint if nothing is to be written of the map. */
    @Test
    void whoFindsAClusterThatIsNotStableIsToldOfChanges() throws Exception {
        CompletableFuture<Integer> reader = CompletableFuture.supplyAsync(this::countUntold);

        Allocation allocation = new Allocation(0);
        StagedWrites l2 = new StagedWrites();
        StagedWrites l1 = new StagedWrites();
        for (int cluster = 0; cluster < CLUSTERS; cluster++) {
            assertThat(allocate(cluster, allocation)).isEqualTo(Attempt.DONE);
            map.link(allocation);
            l2.clear();
            l1.clear();
            assertThat(map.take(l2, l1, 1 << CLUSTER_BITS)).isNotNull();
            stable.set(cluster + 1);
            map.checkpointEnded(new ExtentList());
        }

        assertThat(reader.get(50, TimeUnit.SECONDS))
                .as("clusters found before their change was announced")
                .isZero();
    }

    @SuppressWarnings("NullAway") // no operation waits: nobody else allocates, and there is space
    private Attempt allocate(int cluster, Allocation into) {
        return map.allocate(null, cluster, cluster, into);
    }

    private int countUntold() {
        int untold = 0;
        for (int cluster = 0; cluster < CLUSTERS; cluster++) {
            while (!Entry.isInPlace(map.lookup(cluster))) {
                Thread.onSpinWait();
            }
            if (!map.hasChanges() && stable.get() <= cluster) {
                untold++;
            }
        }
        return untold;
    }

    private static final class IdleWorker implements MapWorker {
        @Override
        public void load(int l1Index, long hostOffset) {
            throw new AssertionError("all tables are in memory");
        }

        @Override
        public void checkpoint() {
            // made by the test
        }

        @Override
        public void reclaim(Freed freed) {
            throw new AssertionError("nothing is dropped");
        }
    }
}

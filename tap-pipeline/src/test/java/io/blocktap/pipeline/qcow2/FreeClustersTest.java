package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.BitSet;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The set of free clusters is what a plain set would be, up to its bound. */
class FreeClustersTest {
    private static final int CHUNK = FreeClusters.CHUNK_CLUSTERS;

    private final FreeClusters free = new FreeClusters();

    @Test
    void whatIsTakenIsWhatASetOfBitsHas() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        BitSet expected = new BitSet();
        int size = 5 * CHUNK;

        for (int turn = 0; turn < 200_000; turn++) {
            int at = random.nextInt(size);
            int most = random.nextInt(20) == 0 ? 2 * CHUNK : 1 + random.nextInt(100);
            if (random.nextBoolean()) {
                int first = expected.nextClearBit(at);
                int used = expected.nextSetBit(first);
                int count = Math.min(most, (used < 0 ? size : used) - first);
                if (count > 0) {
                    free.add(first, count);
                    expected.set(first, first + count);
                }
            } else {
                int least = random.nextBoolean() ? 0 : at;
                int first = expected.nextSetBit(least);
                assertThat(free.hasFrom(least))
                        .as("seed %d, turn %d", seed, turn)
                        .isEqualTo(first >= 0);
                assertThat(free.take(least, most))
                        .as("seed %d, turn %d", seed, turn)
                        .isEqualTo(first);
                if (first >= 0) {
                    int end = Math.min(expected.nextClearBit(first), (first / CHUNK + 1) * CHUNK);
                    assertThat(free.length()).as("seed %d, turn %d", seed, turn).isEqualTo(Math.min(most, end - first));
                    expected.clear(first, (int) (first + free.length()));
                }
            }
            assertThat(free.count()).isEqualTo(expected.cardinality());
        }
    }

    @Test
    void aClusterIsNotFreeTwice() {
        free.add(10, 5);

        assertThatThrownBy(() -> free.add(14, 3))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("free twice");
        assertThatThrownBy(() -> free.add(11, 3)).isInstanceOf(IllegalStateException.class);
        free.add(CHUNK, CHUNK);
        assertThatThrownBy(() -> free.add(CHUNK + 8, 1)).isInstanceOf(IllegalStateException.class);
    }

    /** A guest that discards every other cluster is not to take all memory; whole chunks need next to none. */
    @Test
    void oneThatIsInVeryManyPiecesIsForgottenInPart() {
        for (long chunk = 0; chunk < FreeClusters.MOST_PARTS + 100; chunk++) {
            free.add(chunk * CHUNK + 7, 2);
        }
        assertThat(free.count()).isEqualTo(2 * FreeClusters.MOST_PARTS);

        free.add(10_000L * CHUNK, 1000L * CHUNK);
        assertThat(free.count()).isEqualTo(2 * FreeClusters.MOST_PARTS + 1000L * CHUNK);
        assertThat(free.take(10_500L * CHUNK - 1, 3)).isEqualTo(10_500L * CHUNK - 1);
        assertThat(free.length()).isEqualTo(1);
    }

    /** As a guest does that discards its disk in two sweeps: nothing of a part that was begun is lost. */
    @Test
    void whatIsFreedInTwoSweepsIsAllThere() {
        int clusters = 8 * CHUNK;
        for (int parity = 0; parity < 2; parity++) {
            for (int cluster = parity; cluster < clusters; cluster += 2) {
                free.add(cluster, 1);
            }
        }

        assertThat(free.count()).isEqualTo(clusters);
        for (int chunk = 0; chunk < 8; chunk++) {
            assertThat(free.take(0, clusters)).isEqualTo((long) chunk * CHUNK);
            assertThat(free.length()).isEqualTo(CHUNK);
        }
        assertThat(free.take(0, 1)).isEqualTo(-1);
    }
}

package io.blocktap.pipeline.tap.gnbd;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import java.io.ByteArrayOutputStream;
import java.lang.management.ManagementFactory;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The path of a request from a socket and back allocates nothing, by the JVM's own count of the event loop's thread. */
@Timeout(60)
final class GnbdAllocationTest {
    private static final int SIZE = 1 << 20;
    private static final int PAIRS = 32;
    private static final int REPLY_BYTES = 16;

    private static byte[] batch(int length) throws Exception {
        ByteArrayOutputStream batch = new ByteArrayOutputStream();
        for (int i = 0; i < PAIRS; i++) {
            batch.write(RawGnbdClient.request(Gnbd.READ, i, i * 4096L, length));
            batch.write(RawGnbdClient.request(Gnbd.WRITE, PAIRS + i, i * 8192L, length));
            batch.write(new byte[length]);
        }
        return batch.toByteArray();
    }

    /** Without FUA each WRITE is followed by a FLUSH of the tap's own. */
    @ParameterizedTest
    @CsvSource({"FUA, 512", "FUA, 4096", "FLUSH, 4096"})
    void requestsAllocateNothingOnTheEventLoop(Feature durability, int length) throws Exception {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        byte[] batch = batch(length);
        Geometry geometry = durability == Feature.FUA
                ? Geometry.ofSize(SIZE, Feature.FLUSH, Feature.FUA)
                : Geometry.ofSize(SIZE, Feature.FLUSH);
        try (GnbdServer server = new GnbdServer("", new ReferenceDisk(geometry, AT_ONCE));
                RawGnbdClient client = server.connect().loggedIn("disk", "n")) {
            long loopThread = CompletableFuture.supplyAsync(
                            () -> Thread.currentThread().getId(), server.loop())
                    .get();

            double bytes = Double.MAX_VALUE;
            for (int round = 0; round < 10 && bytes > 2; round++) {
                long before = threads.getThreadAllocatedBytes(loopThread);
                for (int i = 0; i < 200; i++) {
                    client.send(batch);
                    client.receive(PAIRS * (REPLY_BYTES + length + REPLY_BYTES));
                }
                bytes = (threads.getThreadAllocatedBytes(loopThread) - before) / (200.0 * 2 * PAIRS);
            }

            assertThat(bytes).as("bytes a request").isLessThan(2);
        }
    }
}

package io.blocktap.pipeline.codec.blkif;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.blocktap.transport.ring.Blkif;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The path of a ring request allocates nothing, by the JVM's own count of the event loop's thread. */
class RingAllocationTest {
    private static final int WARM_UP = 200_000;
    private static final int MEASURED = 400_000;

    @TempDir
    Path directory;

    @Test
    void requestsOverTheRingAllocateNothingOnTheEventLoop() throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = bench.connect()) {
            // Pages side by side: the guest's own memory. Pages out of order: a buffer of the slab.
            run(guest, WARM_UP);
            long before = allocatedByLoop(bench);
            run(guest, MEASURED);
            double perRequest = (double) (allocatedByLoop(bench) - before) / MEASURED;

            // A wake-up of the loop now and then (an event object, a task) is all that is left.
            assertThat(perRequest).as("bytes per request").isLessThan(1);
        }
    }

    private static void run(RawFrontend guest, int requests) {
        for (int done = 0; done < requests; done += 32) {
            for (int i = 0; i < 32; i++) {
                int operation = i % 2 == 0 ? Blkif.BLKIF_OP_READ : Blkif.BLKIF_OP_WRITE;
                if (i % 8 == 7) {
                    guest.request(operation, i, i * 16L, 40 + i, 0, 7, 39 + i, 0, 7);
                } else {
                    guest.request(operation, i, i * 16L, 40 + 2 * i, 0, 7, 41 + 2 * i, 0, 7);
                }
            }
            guest.publish();
            int answers = 0;
            while (answers < 32) {
                int slot = guest.ring.take();
                if (slot < 0) {
                    Thread.onSpinWait();
                } else {
                    assertThat(guest.ring.memory().getShort(slot + 10)).isZero();
                    answers++;
                }
            }
        }
    }

    private static long allocatedByLoop(RingBench bench) throws Exception {
        return bench.disk
                .home()
                .submit(() -> ((ThreadMXBean) ManagementFactory.getThreadMXBean()).getCurrentThreadAllocatedBytes())
                .get(5, TimeUnit.SECONDS);
    }
}

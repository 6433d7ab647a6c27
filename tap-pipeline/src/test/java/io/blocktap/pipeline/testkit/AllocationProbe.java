package io.blocktap.pipeline.testkit;

import com.sun.management.ThreadMXBean;
import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.Session;
import io.netty.buffer.ByteBuf;
import io.netty.channel.EventLoop;
import java.lang.management.ManagementFactory;
import java.util.concurrent.CompletableFuture;

/** Measures what a chain costs for each request when it answers at once: bytes allocated on the event loop, and time. */
public final class AllocationProbe {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    private static final int WARM_UP = 60_000;
    private static final int MEASURED = 200_000;

    private final RequestStream stream;
    private long failed;

    private AllocationProbe(Disk disk, EventLoop loop) throws Exception {
        Session session = disk.connect("test", "probe");
        stream = disk.openStream(session, loop, new RequestStream.Sink() {
            @Override
            public void answer(BlockResponse response) {
                failed += response.status() == BlockStatus.OK ? 0 : 1;
            }

            @Override
            public void flush() {
                // nobody looks
            }
        });
    }

    /**
     * What one request costs.
     *
     * @param bytes allocated on the event loop's thread
     * @param nanos of wall time
     */
    public record Cost(double bytes, double nanos) {}

    /**
     * Sends 4 KiB requests at random places of the first 8 MiB, after a warm-up.
     *
     * @param op READ or WRITE
     */
    public static Cost measure(StageHarness harness, BlockOp op) {
        EventLoop loop = harness.disk().loopFor(harness.client().stream().eventLoop());
        return TestClient.await(CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return measureInLoop(new AllocationProbe(harness.disk(), loop), harness.disk(), op);
                    } catch (Exception e) {
                        throw new AssertionError(e);
                    }
                },
                loop));
    }

    private static Cost measureInLoop(AllocationProbe probe, Disk disk, BlockOp op) {
        probe.run(op, WARM_UP);
        long bytes = THREADS.getCurrentThreadAllocatedBytes();
        long nanos = System.nanoTime();
        probe.run(op, MEASURED);
        nanos = System.nanoTime() - nanos;
        bytes = THREADS.getCurrentThreadAllocatedBytes() - bytes;
        disk.closeStream(probe.stream);
        if (probe.failed != 0) {
            throw new AssertionError(probe.failed + " requests failed");
        }
        return new Cost((double) bytes / MEASURED, (double) nanos / MEASURED);
    }

    private void run(BlockOp op, int requests) {
        int place = 1;
        for (int i = 0; i < requests; i++) {
            ByteBuf data = stream.memory().tryAllocate(4096);
            if (data == null) {
                throw new IllegalStateException("no memory for a request");
            }
            place = place * 1103515245 + 12345;
            long offset = (place >>> 8 & 2047) * 4096L;
            stream.submit(stream.newRequest().describe(op, 0, offset, 4096).withData(data));
        }
    }
}

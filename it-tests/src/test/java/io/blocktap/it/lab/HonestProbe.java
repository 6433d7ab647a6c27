package io.blocktap.it.lab;

import io.blocktap.transport.frontend.BlockFrontend;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Reads one block again and again, one request at a time, and looks at what it gets and how long it takes. */
final class HonestProbe {
    private static final int BYTES = 4096;

    private final BlockFrontend disk;
    private final long offset;
    private final ByteBuf expected;
    private final ByteBuf target = Unpooled.directBuffer(BYTES, BYTES);
    private final CompletableFuture<Void> ended = new CompletableFuture<>();
    private volatile boolean stopping;
    private volatile long answers;
    private volatile long longestNanos;

    HonestProbe(BlockFrontend disk, long offset) {
        this.disk = disk;
        this.offset = offset;
        expected = Unpooled.wrappedBuffer(XenFrontendLab.content(offset, BYTES));
        disk.write(offset, expected).join();
        next();
    }

    private void next() {
        long start = System.nanoTime();
        target.clear();
        disk.read(offset, target).whenComplete((ok, failure) -> {
            longestNanos = Math.max(longestNanos, System.nanoTime() - start);
            if (failure != null) {
                ended.completeExceptionally(failure);
            } else if (!target.equals(expected)) {
                ended.completeExceptionally(new AssertionError("wrong content"));
            } else {
                answers = answers + 1;
                if (stopping) {
                    ended.complete(null);
                } else {
                    disk.channel().eventLoop().execute(this::next);
                }
            }
        });
    }

    long answers() {
        return answers;
    }

    /** Returns the longest time for an answer since the last call. */
    long longestMillis() {
        long longest = longestNanos;
        longestNanos = 0;
        return TimeUnit.NANOSECONDS.toMillis(longest);
    }

    void stop() throws Exception {
        stopping = true;
        ended.get(60, TimeUnit.SECONDS);
        target.release();
    }
}

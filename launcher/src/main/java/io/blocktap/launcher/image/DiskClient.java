package io.blocktap.launcher.image;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.RequestStream;
import io.netty.buffer.ByteBuf;
import io.netty.channel.EventLoop;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** Requests of this program itself to a disk. Everything on the disk's loop; there are no more in flight than the caller begins. */
final class DiskClient {
    private final Disk disk;
    private final RequestStream stream;
    private final Map<Long, CompletableFuture<@Nullable ByteBuf>> pending = new HashMap<>();
    private long cookies;

    private DiskClient(Disk disk, EventLoop loop) throws RefusedException {
        this.disk = disk;
        this.stream = disk.openStream(disk.connect("tool", "-"), loop, new Answers());
    }

    /** Connects. On the loop. */
    static DiskClient connect(Disk disk, EventLoop loop) throws RefusedException {
        return new DiskClient(disk, loop);
    }

    /** Reads a range. The buffer is the caller's. */
    CompletableFuture<@Nullable ByteBuf> read(long offsetBytes, int lengthBytes) {
        ByteBuf buffer = stream.memory().tryAllocate(lengthBytes);
        if (buffer == null) {
            return CompletableFuture.failedFuture(new IOException("no memory for " + lengthBytes + " bytes"));
        }
        return send(BlockOp.READ, offsetBytes, lengthBytes, buffer);
    }

    /** Writes a range, and releases the buffer. */
    CompletableFuture<@Nullable ByteBuf> write(long offsetBytes, ByteBuf data) {
        return send(BlockOp.WRITE, offsetBytes, data.capacity(), data);
    }

    CompletableFuture<@Nullable ByteBuf> zero(long offsetBytes, long lengthBytes) {
        return send(BlockOp.WRITE_ZEROES, offsetBytes, lengthBytes, null);
    }

    CompletableFuture<@Nullable ByteBuf> discard(long offsetBytes, long lengthBytes) {
        return send(BlockOp.DISCARD, offsetBytes, lengthBytes, null);
    }

    CompletableFuture<@Nullable ByteBuf> flush() {
        return send(BlockOp.FLUSH, 0, 0, null);
    }

    private CompletableFuture<@Nullable ByteBuf> send(
            BlockOp op, long offsetBytes, long lengthBytes, @Nullable ByteBuf data) {
        CompletableFuture<@Nullable ByteBuf> future = new CompletableFuture<>();
        long cookie = ++cookies;
        pending.put(cookie, future);
        BlockRequest request =
                stream.newRequest().describe(op, 0, offsetBytes, lengthBytes).withCookie(cookie, 0);
        if (data != null) {
            request.withData(data);
        }
        stream.submit(request);
        return future;
    }

    private final class Answers implements RequestStream.Sink {
        @Override
        public void answer(BlockResponse response) {
            answered(response);
        }

        @Override
        public void flush() {
            // each answer is taken at once
        }
    }

    private void answered(BlockResponse response) {
        BlockRequest request = response.request();
        CompletableFuture<@Nullable ByteBuf> future = pending.remove(request.cookie());
        if (future == null) {
            throw new IllegalStateException("answered twice: " + request);
        }
        if (response.status() != BlockStatus.OK) {
            String what = response.status() == BlockStatus.NO_SPACE
                    ? "no space left for " + disk.description()
                    : disk.description() + ": " + request + ": " + response.status();
            future.completeExceptionally(new IOException(what));
        } else {
            future.complete(request.op() == BlockOp.READ ? request.takeData() : null);
        }
    }
}

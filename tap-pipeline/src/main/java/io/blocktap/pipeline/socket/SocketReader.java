package io.blocktap.pipeline.socket;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.channel.ChannelConfig;
import io.netty.channel.RecvByteBufAllocator;
import io.netty.util.UncheckedBooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Decides where a socket is read into: small buffers while the client haggles, then wherever the transmission wants the next bytes.
 * One for each channel, because it is allocator and handle in one.
 *
 * <p>Threads: the channel's event loop.
 */
public final class SocketReader implements RecvByteBufAllocator, RecvByteBufAllocator.ExtendedHandle {
    private static final int HAGGLING_BYTES = 4096;
    /** Reads in one turn, so that a busy connection does not starve the others of its loop. */
    private static final int MAX_READS = 16;

    /** Knows where the next bytes go. */
    public interface Target {
        /** Returns a direct buffer with room; the socket owns it, and passes it on with what it has read. */
        ByteBuf nextBuffer();
    }

    private final UncheckedBooleanSupplier filled = this::wasFilled;
    private @Nullable Target target;
    private @Nullable ChannelConfig config;
    private int reads;
    private int attemptedBytes;
    private int lastBytes;

    private boolean wasFilled() {
        return lastBytes == attemptedBytes;
    }

    /** Directs all further reads to a target. */
    public void readInto(Target newTarget) {
        target = newTarget;
    }

    @Override
    @SuppressWarnings("deprecation") // the interface's own
    public Handle newHandle() {
        return this;
    }

    @Override
    public void reset(ChannelConfig newConfig) {
        config = newConfig;
        reads = 0;
    }

    @Override
    public ByteBuf allocate(ByteBufAllocator allocator) {
        Target present = target;
        return present == null ? allocator.directBuffer(guess()) : present.nextBuffer();
    }

    @Override
    public int guess() {
        return HAGGLING_BYTES;
    }

    @Override
    public void incMessagesRead(int count) {
        reads += count;
    }

    @Override
    public void lastBytesRead(int bytes) {
        lastBytes = bytes;
    }

    @Override
    public int lastBytesRead() {
        return lastBytes;
    }

    @Override
    public void attemptedBytesRead(int bytes) {
        attemptedBytes = bytes;
    }

    @Override
    public int attemptedBytesRead() {
        return attemptedBytes;
    }

    @Override
    public boolean continueReading() {
        return continueReading(filled);
    }

    @Override
    public boolean continueReading(UncheckedBooleanSupplier maybeMore) {
        return reads < MAX_READS && config != null && config.isAutoRead() && maybeMore.get();
    }

    @Override
    public void readComplete() {
        // nothing is learned from how much came
    }
}

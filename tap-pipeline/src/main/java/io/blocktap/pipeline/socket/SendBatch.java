package io.blocktap.pipeline.socket;

import io.blocktap.transport.memory.RegionBuf;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import org.jspecify.annotations.Nullable;

/**
 * Collects frames until they are flushed, so that many go out as one buffer in one system call.
 *
 * <p>Data may lie in a window that has room for its frame's header before it; so header and data lie side by side and are sent from where
 * they are, at once or later. Frames that follow each other in memory become one buffer; others are gathered by the socket
 * ({@code writev}).
 *
 * <p>Threads: the connection's event loop. In steady state nothing is allocated.
 */
public final class SendBatch {
    private static final int MIN_CHUNK_BYTES = 16 << 10;
    private static final int MAX_CHUNK_BYTES = 256 << 10;

    private final SocketMemory memory;
    private final int headerBytes;
    private final SocketMemory.Account account = new SocketMemory.Account();
    private int nextChunkBytes = MIN_CHUNK_BYTES;
    // Where the next frame goes.
    private SocketMemory.@Nullable Chunk chunk;
    private int free;
    // Frames that are complete and follow each other, not yet given to the channel.
    private SocketMemory.@Nullable Chunk runChunk;
    private int runStart;
    private int runEnd;
    private long unflushedBytes;

    /**
     * Makes an empty batch.
     *
     * @param headerBytes what each frame begins with
     */
    public SendBatch(SocketMemory memory, int headerBytes) {
        this.memory = memory;
        this.headerBytes = headerBytes;
    }

    /** Returns the bytes that were collected since the last flush. */
    public long unflushedBytes() {
        return unflushedBytes;
    }

    /**
     * Opens room for a frame's data, with room for the header before it.
     *
     * @param length at most a quarter of the largest chunk, or memory is wasted
     * @param alignment of the first byte in memory: a power of two, at most a page
     * @return the window, owned by the caller; null if too much memory is in use that way already
     */
    public SocketMemory.@Nullable Window tryOpenWindow(int length, int alignment) {
        int needed = alignedUp(headerBytes, alignment) + length; // at the start of a chunk
        SocketMemory.Chunk present = chunk;
        if (present == null || present.capacity() - alignedUp(free + headerBytes, alignment) < length) {
            if (account.isExhausted()) {
                return null;
            }
            present = changeChunk(needed);
        }
        int start = alignedUp(free + headerBytes, alignment); // chunks begin with a page
        free = start + length;
        return memory.openWindow(present, start, length);
    }

    private static int alignedUp(int index, int alignment) {
        return index + alignment - 1 & -alignment;
    }

    private SocketMemory.Chunk changeChunk(int needed) {
        SocketMemory.Chunk old = chunk;
        if (old != null) {
            old.leave();
            nextChunkBytes = Math.min(MAX_CHUNK_BYTES, nextChunkBytes * 2);
        }
        while (nextChunkBytes < needed) {
            nextChunkBytes *= 2;
        }
        SocketMemory.Chunk fresh = memory.takeChunk(account, nextChunkBytes);
        chunk = fresh;
        free = 0;
        return fresh;
    }

    /**
     * Adds a header, and data to be copied behind it, if any. The caller writes both at once to {@link #placed}, from the index returned on.
     *
     * @param dataBytes 0, or few enough that a copy is cheaper than a buffer of their own
     */
    public int place(ChannelHandlerContext ctx, int dataBytes) {
        int length = headerBytes + dataBytes;
        SocketMemory.Chunk present = chunk;
        if (present == null || present.capacity() - free < length) {
            present = changeChunk(length);
        }
        int start = free;
        free += length;
        append(ctx, present, start, length);
        return start;
    }

    /**
     * Adds a frame whose data are in a window of this batch; the caller writes the header at once to {@link #placed}, from the index returned on, and
     * still owns the window.
     */
    public int placeBefore(ChannelHandlerContext ctx, SocketMemory.Window window) {
        int start = window.start() - headerBytes;
        append(ctx, window.chunk(), start, headerBytes + window.capacity());
        return start;
    }

    /** Returns the memory of what was placed last; valid until anything else is done with this batch. */
    public RegionBuf placed() {
        SocketMemory.Chunk present = runChunk;
        if (present == null) {
            throw new IllegalStateException("nothing was placed");
        }
        return present.memory();
    }

    /**
     * Adds the data of the frame whose header was placed last.
     *
     * @param data from its reader index to its writer index; owned by this method
     */
    public void addData(ChannelHandlerContext ctx, ByteBuf data) {
        give(ctx);
        unflushedBytes += data.readableBytes();
        ctx.write(data, ctx.voidPromise());
    }

    private void append(ChannelHandlerContext ctx, SocketMemory.Chunk owner, int start, int length) {
        if (runChunk != owner || runEnd != start) {
            owner.enter(); // first, since a write may lead to a flush, and that lets go of chunks
            give(ctx);
            runChunk = owner;
            runStart = start;
        }
        runEnd = start + length;
        unflushedBytes += length;
    }

    /** Gives what is complete to the channel. */
    public void give(ChannelHandlerContext ctx) {
        SocketMemory.Chunk owner = runChunk;
        if (owner != null) {
            int length = runEnd - runStart;
            SocketMemory.Window run = memory.openWindow(owner, runStart, length);
            owner.leave();
            runChunk = null;
            ctx.write(run.writerIndex(length), ctx.voidPromise());
        }
    }

    /** After a flush: forgets the chunk if everything in it was sent. */
    public void flushed() {
        unflushedBytes = 0;
        SocketMemory.Chunk present = chunk;
        if (present != null && present.isUsedOnce()) {
            present.leave();
            chunk = null;
        }
    }

    /** Drops what was not given to the channel. */
    public void close() {
        if (runChunk != null) {
            runChunk.leave();
            runChunk = null;
        }
        if (chunk != null) {
            chunk.leave();
            chunk = null;
        }
    }
}

package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.codec.nbd.NbdReply;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import org.jspecify.annotations.Nullable;

/**
 * Collects replies until they are flushed, so that many go out as one buffer in one system call.
 *
 * <p>The data of a small READ are a window that has room for its reply's header before it; so when it was answered, header and data
 * lie side by side and are sent from where they are, at once or later. Replies that follow each other in memory become one
 * buffer; others are gathered by the socket ({@code writev}).
 *
 * <p>Threads: the connection's event loop.
 */
final class ReplyBatch {
    private static final int MIN_CHUNK_BYTES = 16 << 10;
    private static final int MAX_CHUNK_BYTES = 256 << 10;
    /** Data up to this length are copied behind their header if they lie elsewhere. */
    private static final int COPY_BYTES = 1 << 10;

    private final SocketMemory memory;
    private final SocketMemory.Account account = new SocketMemory.Account();
    private int nextChunkBytes = MIN_CHUNK_BYTES;
    // Where the next reply goes.
    private SocketMemory.@Nullable Chunk chunk;
    private int free;
    // Replies that are complete and follow each other, not yet given to the channel.
    private SocketMemory.@Nullable Chunk runChunk;
    private int runStart;
    private int runEnd;
    private long unflushedBytes;

    ReplyBatch(SocketMemory memory) {
        this.memory = memory;
    }

    /** Returns the bytes of replies that were collected since the last flush. */
    long unflushedBytes() {
        return unflushedBytes;
    }

    /**
     * Opens room for the data of a READ.
     *
     * @param length at most a quarter of the largest chunk, or memory is wasted
     * @param alignment of the first byte in memory: a power of two, at most a page
     * @return the window, owned by the caller; null if too much memory is in use that way already
     */
    SocketMemory.@Nullable Window tryOpenWindow(int length, int alignment) {
        int needed = alignedUp(NbdReply.BYTES, alignment) + length; // at the start of a chunk
        SocketMemory.Chunk present = chunk;
        if (present == null || present.capacity() - alignedUp(free + NbdReply.BYTES, alignment) < length) {
            if (account.isExhausted()) {
                return null;
            }
            present = changeChunk(needed);
        }
        int start = alignedUp(free + NbdReply.BYTES, alignment); // chunks begin with a page
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

    /** Adds a reply without data. */
    void add(ChannelHandlerContext ctx, int errno, long cookie) {
        SocketMemory.Chunk present = chunk;
        if (present == null || present.capacity() - free < NbdReply.BYTES) {
            present = changeChunk(NbdReply.BYTES);
        }
        int start = free;
        free += NbdReply.BYTES;
        NbdReply.set(present.memory(), start, errno, cookie);
        append(ctx, present, start, NbdReply.BYTES);
    }

    /** Adds the reply to a successful READ whose data are in a window of this batch. The caller still owns the window. */
    void add(ChannelHandlerContext ctx, long cookie, SocketMemory.Window window) {
        int start = window.start() - NbdReply.BYTES;
        NbdReply.set(window.chunk().memory(), start, 0, cookie);
        append(ctx, window.chunk(), start, NbdReply.BYTES + window.capacity());
    }

    /**
     * Adds the reply to a successful READ whose data are elsewhere.
     *
     * @param data from index 0 to its capacity; owned by this method
     */
    void add(ChannelHandlerContext ctx, long cookie, ByteBuf data) {
        int length = data.capacity();
        if (length <= COPY_BYTES) {
            SocketMemory.Window window = tryOpenWindow(length, 1);
            if (window != null) {
                window.setBytes(0, data, 0, length);
                data.release();
                add(ctx, cookie, window);
                window.release();
                return;
            }
        }
        add(ctx, 0, cookie);
        give(ctx);
        unflushedBytes += length;
        ctx.write(data.setIndex(0, length), ctx.voidPromise());
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
    void give(ChannelHandlerContext ctx) {
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
    void flushed() {
        unflushedBytes = 0;
        SocketMemory.Chunk present = chunk;
        if (present != null && present.isUsedOnce()) {
            present.leave();
            chunk = null;
        }
    }

    /** Drops what was not given to the channel. */
    void close() {
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

package io.blocktap.pipeline.socket;

import io.blocktap.transport.memory.MemoryBudget;
import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.memory.SlabAllocator;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * Memory for the bytes that pass through the sockets of one event loop: chunks, and windows into them.
 *
 * <p>A chunk holds what many requests or replies share: the payloads of small WRITEs where they were received, the data of small
 * READs where they will be sent from. It goes back when nobody uses it any more, neither the connection nor a window. This memory
 * does not count against the budget of request data (a connection that waits for that budget must still hold what it has
 * received); it is bounded by connections, each of which hands out windows of at most {@link #MAX_CHUNKS} chunks a direction.
 *
 * <p>Threads: one event loop. In steady state nothing is allocated.
 */
public final class SocketMemory {
    /** Chunks that one direction of a connection keeps in use before it stops to hand out windows. */
    public static final int MAX_CHUNKS = 4;

    private static final long KEEP_FREE_BYTES = 8L << 20;

    private final SlabAllocator slabs = new SlabAllocator(new MemoryBudget(Long.MAX_VALUE), KEEP_FREE_BYTES);
    private final ArrayDeque<Chunk> freeChunks = new ArrayDeque<>();
    private final ArrayDeque<Window> freeWindows = new ArrayDeque<>();

    /** How many chunks one direction of a connection has. */
    public static final class Account {
        private int chunks;

        /** Returns whether further windows would use more chunks than allowed. */
        public boolean isExhausted() {
            return chunks >= MAX_CHUNKS;
        }
    }

    /** A piece of memory with a count of its users; the taker is the first. */
    public final class Chunk {
        private Chunk() {}

        private @Nullable RegionBuf memory;
        private @Nullable Account account;
        private int users;

        /** Returns the bytes. */
        public RegionBuf memory() {
            RegionBuf present = memory;
            if (present == null) {
                throw new IllegalStateException("a chunk is used after its last user has left");
            }
            return present;
        }

        /** Returns its length. */
        public int capacity() {
            return memory().capacity();
        }

        /** Returns whether the caller, a user, is the only one. */
        public boolean isUsedOnce() {
            return users == 1;
        }

        /** Adds a user. */
        public void enter() {
            users++;
        }

        /** Takes a user away; the last one gives the memory back. */
        public void leave() {
            if (--users == 0) {
                memory().release();
                memory = null;
                if (account != null) {
                    account.chunks--;
                    account = null;
                }
                freeChunks.push(this);
            }
        }
    }

    /** A buffer over a part of a chunk, which it keeps in use until it is released. */
    public final class Window extends RegionBuf {
        private @Nullable Chunk chunk;
        private int start;

        private Window() {}

        private void open(Chunk newChunk, int newStart, int length) {
            revive();
            pointTo(newChunk.memory(), newStart, length);
            newChunk.enter();
            chunk = newChunk;
            start = newStart;
        }

        /** Returns the chunk that it lies in. */
        public Chunk chunk() {
            Chunk present = chunk;
            if (present == null) {
                throw new IllegalStateException("a window is used after its release");
            }
            return present;
        }

        /** Returns the index of its first byte in the chunk. */
        public int start() {
            return start;
        }

        @Override
        protected void onRelease() {
            Chunk left = chunk();
            chunk = null;
            left.leave();
            freeWindows.push(this);
        }
    }

    /** Takes a chunk. */
    public Chunk takeChunk(Account account, int bytes) {
        Chunk chunk = freeChunks.poll();
        if (chunk == null) {
            chunk = new Chunk();
        }
        RegionBuf memory = slabs.tryAllocate(bytes);
        if (memory == null) {
            throw new IllegalStateException("the budget of socket memory has no limit");
        }
        chunk.memory = memory;
        chunk.account = account;
        chunk.users = 1;
        account.chunks++;
        return chunk;
    }

    /** Opens a window, which the caller owns: reader and writer index 0. */
    public Window openWindow(Chunk chunk, int start, int length) {
        Window window = freeWindows.poll();
        if (window == null) {
            window = new Window();
        }
        window.open(chunk, start, length);
        return window;
    }

    /** Returns how many chunks are in use: a test's proof that none is lost. */
    public int chunksInUse() {
        return slabs.buffersInUse();
    }

    /** Gives the memory back, at once or when the last chunk was left. */
    public void close() {
        slabs.close();
    }
}

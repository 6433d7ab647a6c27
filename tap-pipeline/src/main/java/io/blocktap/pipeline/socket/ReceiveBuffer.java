package io.blocktap.pipeline.socket;

import io.blocktap.transport.memory.RegionBuf;
import org.jspecify.annotations.Nullable;

/**
 * Collects what a connection receives until it is decoded. The socket is read straight into it, and payloads are handed out as
 * windows, where they lie; so bytes are moved only when a frame is cut off at the end of a chunk.
 *
 * <p>Threads: the connection's event loop.
 */
public final class ReceiveBuffer {
    private static final int MIN_CHUNK_BYTES = 16 << 10;
    private static final int MAX_CHUNK_BYTES = 256 << 10;
    private static final int MIN_ROOM_BYTES = 4 << 10;

    private final SocketMemory memory;
    private final SocketMemory.Account account = new SocketMemory.Account();
    private final ReadWindow window = new ReadWindow();
    private int nextChunkBytes = MIN_CHUNK_BYTES;
    private SocketMemory.@Nullable Chunk chunk;
    private int read;
    private int filled;

    /** Makes an empty buffer; memory is taken from its loop's when something is read. */
    public ReceiveBuffer(SocketMemory memory) {
        this.memory = memory;
    }

    /** Returns how many bytes wait to be decoded. */
    public int readable() {
        return filled - read;
    }

    /** Returns the memory that holds them; valid while there are any, until the next {@link #openWindow}. */
    public RegionBuf bytes() {
        SocketMemory.Chunk present = chunk;
        if (present == null) {
            throw new IllegalStateException("nothing was received");
        }
        return present.memory();
    }

    /** Returns the index of the first byte that waits. */
    public int readIndex() {
        return read;
    }

    /** Passes over bytes that were decoded. */
    public void skip(int count) {
        read += count;
    }

    /**
     * Hands out bytes that wait, without a copy.
     *
     * @param offset of the first, from {@link #readIndex}
     * @param alignment of the first byte in memory: a power of two, at most a page
     * @return the bytes, owned by the caller; null if too much memory is in use that way already, or they lie unaligned
     */
    @Nullable
    public RegionBuf takeWindow(int offset, int length, int alignment) {
        SocketMemory.Chunk present = chunk;
        // A larger chunk comes from a client that sent much and then no more; payloads there count as request data.
        if (present == null || account.isExhausted() || present.capacity() > MAX_CHUNK_BYTES) {
            return null;
        }
        if ((read + offset & alignment - 1) != 0) { // chunks begin with a page
            return null;
        }
        return memory.openWindow(present, read + offset, length);
    }

    /** Returns whether a frame of this size can be collected as a whole. */
    public static boolean canCollect(int frameBytes) {
        return frameBytes <= MAX_CHUNK_BYTES - MIN_ROOM_BYTES;
    }

    /**
     * Opens the place for the next bytes of the socket, never empty.
     *
     * @param frameBytes how many bytes from {@link #readIndex} on are to lie side by side
     * @param limit at most so many are wanted
     * @return the one window of this buffer; given back by {@link #receive}, or by a release if nothing came
     */
    public RegionBuf openWindow(int frameBytes, int limit) {
        SocketMemory.Chunk present = makeRoom(frameBytes);
        window.open(present, filled, Math.min(limit, present.capacity() - filled));
        return window;
    }

    /** Opens the same window over a part of a request's own data instead. */
    public RegionBuf openWindow(RegionBuf data, int index, int length) {
        window.open(data, index, length);
        return window;
    }

    /** Returns whether a message of the socket is this buffer's window. */
    public boolean isWindow(Object message) {
        return message == window;
    }

    /** Returns whether the window is open over a request's own data: what comes next belongs there, whatever was decided since it was opened. */
    public boolean isOverData() {
        return window.data != null;
    }

    /** Takes the window back, with what the socket has written into it; closes it. */
    public int receive() {
        int count = window.writerIndex();
        if (window.data == null) {
            filled += count;
            if (count == window.capacity() && nextChunkBytes < MAX_CHUNK_BYTES) {
                nextChunkBytes *= 2;
            }
        }
        window.release();
        return count;
    }

    private SocketMemory.Chunk makeRoom(int frameBytes) {
        SocketMemory.Chunk present = chunk;
        int waiting = readable();
        if (present != null && present.isUsedOnce()) {
            if (waiting == 0) {
                read = 0;
                filled = 0;
            }
            boolean fits = present.capacity() >= Math.max(frameBytes, waiting + MIN_ROOM_BYTES);
            if (fits && !hasRoom(present, frameBytes)) {
                present.memory().setBytes(0, present.memory(), read, waiting);
                read = 0;
                filled = waiting;
            }
        }
        if (present == null || !hasRoom(present, frameBytes)) {
            present = changeChunk(present, Math.max(frameBytes, waiting + MIN_ROOM_BYTES));
        }
        return present;
    }

    private boolean hasRoom(SocketMemory.Chunk present, int frameBytes) {
        return present.capacity() - filled >= MIN_ROOM_BYTES && present.capacity() - read >= frameBytes;
    }

    private SocketMemory.Chunk changeChunk(SocketMemory.@Nullable Chunk old, int neededBytes) {
        int waiting = readable();
        SocketMemory.Chunk fresh = memory.takeChunk(account, Math.max(nextChunkBytes, roundUp(neededBytes)));
        if (old != null) {
            if (waiting > 0) {
                fresh.memory().setBytes(0, old.memory(), read, waiting);
            }
            old.leave();
        }
        chunk = fresh;
        read = 0;
        filled = waiting;
        return fresh;
    }

    private static int roundUp(int bytes) {
        return Integer.highestOneBit(bytes - 1) << 1;
    }

    /**
     * Gives back the memory if nothing waits in it, and nothing is about to come there: an idle connection holds none. (With io_uring a read may be under way while the
     * connection does something else.)
     */
    public void trim() {
        if (!window.isOverChunk()) {
            drop();
        }
    }

    private void drop() {
        SocketMemory.Chunk present = chunk;
        if (present != null && readable() == 0) {
            present.leave();
            chunk = null;
            read = 0;
            filled = 0;
        }
    }

    /** Drops everything. */
    public void close() {
        read = filled;
        drop();
    }

    /** What the socket reads into. It keeps the memory in use, also if the connection ends while the kernel still writes there. */
    private static final class ReadWindow extends RegionBuf {
        private SocketMemory.@Nullable Chunk owner;
        private @Nullable RegionBuf data;

        /** Returns whether it is open over memory that is the connection's. */
        boolean isOverChunk() {
            return owner != null;
        }

        void open(SocketMemory.Chunk chunk, int start, int length) {
            revive();
            pointTo(chunk.memory(), start, length);
            chunk.enter();
            owner = chunk;
        }

        void open(RegionBuf requestData, int index, int length) {
            revive();
            pointTo(requestData, index, length);
            data = (RegionBuf) requestData.retain();
        }

        @Override
        protected void onRelease() {
            pointNowhere();
            SocketMemory.Chunk left = owner;
            RegionBuf released = data;
            owner = null;
            data = null;
            if (left != null) {
                left.leave();
            }
            if (released != null) {
                released.release();
            }
        }
    }
}

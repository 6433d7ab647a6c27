package io.blocktap.transport;

import io.netty.buffer.ByteBuf;

/**
 * Copies between a frontend's pages and our buffers, one direction, many at a time: where a copy is a system call, one call does them all.
 *
 * <p>The cycle: {@link #add} each, {@link #run} once, ask with {@link #areDone}, {@link #clear}. Buffers that were added stay unchanged and referenced until {@code run} has
 * returned. Threads: the channel's event loop.
 */
public interface GuestCopies {
    /**
     * Adds one copy. It is done now or by {@link #run}.
     *
     * @param gref a valid grant reference
     * @param pageOffset first byte in the page
     * @param length bytes; {@code pageOffset + length} is at most 4096
     * @param ours the buffer on our side
     * @param index first byte in it
     */
    void add(int gref, int pageOffset, int length, ByteBuf ours, int index);

    /** Returns how many were added since {@link #clear}; they are numbered from 0. */
    int count();

    /** Does all that was added. */
    void run();

    /** Returns whether the copies from number {@code from} to before number {@code to} were all done. After {@link #run}. */
    boolean areDone(int from, int to);

    /** Forgets what was added. */
    void clear();
}

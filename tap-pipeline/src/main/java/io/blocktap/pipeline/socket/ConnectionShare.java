package io.blocktap.pipeline.socket;

import io.blocktap.pipeline.RequestStream;
import io.blocktap.transport.memory.BudgetTurn;
import io.blocktap.transport.memory.MemoryBudget;
import io.blocktap.transport.memory.RegionBuf;
import org.jspecify.annotations.Nullable;

/**
 * What one connection may have at a time, and has: requests in flight, the bytes of their data, and memory for them.
 *
 * <p>Threads: the connection's event loop.
 */
final class ConnectionShare {
    /** One connection has at most this part of the budget of all, unless a single request needs more. */
    private static final int BUDGET_SHARE = 16;

    private final RequestStream stream;
    private final MemoryBudget largeRequests;
    private final int mostRequests;
    private final long mostBytes;
    private final BudgetTurn memory;
    private final LargeRequests large;
    private int requests;
    private long bytes;

    /**
     * Makes the share of one connection.
     *
     * @param mostRequests requests in flight
     * @param mostBytes request data in flight
     * @param stream where the requests go
     * @param largeRequests what requests above a connection's share may hold, over all connections
     * @param retry tries again what was refused for want of memory
     */
    ConnectionShare(
            int mostRequests, long mostBytes, RequestStream stream, MemoryBudget largeRequests, Runnable retry) {
        MemoryBudget budget = stream.memory().budget();
        long shareBytes = Math.max(1, budget.limitBytes() / BUDGET_SHARE);
        this.stream = stream;
        this.largeRequests = largeRequests;
        this.mostRequests = mostRequests;
        this.mostBytes = Math.min(mostBytes, shareBytes);
        this.memory = new BudgetTurn(budget, stream.eventLoop(), retry);
        this.large = new LargeRequests(shareBytes, largeRequests, stream.eventLoop(), retry);
    }

    /** Returns whether not even a request without data may come now; the next answer may change that. */
    boolean isUsedUp() {
        return requests >= mostRequests || bytes >= mostBytes;
    }

    /** Returns whether there is room for a request's data; there is, however large it is, if no other is in flight. */
    boolean hasRoomFor(long dataBytes) {
        return bytes == 0 || bytes + dataBytes <= mostBytes;
    }

    /** Returns whether a request of this size may have memory now; if not, it is retried. */
    boolean mayServe(long dataBytes) {
        return large.mayServe(dataBytes);
    }

    /** Takes memory for a request's data; null if there is none now, and then it is retried. */
    @Nullable
    RegionBuf tryAllocate(int length) {
        RegionBuf data = memory.tryAllocate(stream.memory(), length);
        if (data != null) {
            large.begun();
        }
        return data;
    }

    /** A request is on its way. */
    void submitted(int dataBytes) {
        requests++;
        bytes += dataBytes;
    }

    /** A request was answered. */
    void answered(int dataBytes) {
        requests--;
        bytes -= dataBytes;
    }

    /** Returns whether no request is on its way. */
    boolean isIdle() {
        return requests == 0;
    }

    /** Nothing is held for the client, but for what is in flight. */
    void settle() {
        if (bytes == 0) {
            large.settled();
        }
    }

    /** Returns whether other connections wait for memory. */
    boolean isWaitedFor() {
        return stream.memory().budget().isWaitedFor() || largeRequests.isWaitedFor();
    }

    /** The connection is gone; what is in flight still gives its memory back by itself. */
    void close() {
        memory.leave();
        large.close();
    }
}

package io.blocktap.pipeline.socket;

import io.blocktap.transport.memory.BudgetTurn;
import io.blocktap.transport.memory.MemoryBudget;
import io.netty.channel.EventLoop;

/**
 * What one connection does with requests that are larger than its share of memory. They are served, one at a time, but those of all
 * connections together have half of the memory; so clients that ask for the largest READs and take no replies leave the other half to the
 * rest.
 *
 * <p>Threads: the connection's event loop.
 */
final class LargeRequests {
    private final long shareBytes;
    private final BudgetTurn turn;
    private long takenBytes;
    private boolean isBegun;

    /**
     * Makes the account of one connection.
     *
     * @param shareBytes longer requests are large
     * @param all what those of all connections have together
     * @param retry tries again when there is room
     */
    LargeRequests(long shareBytes, MemoryBudget all, EventLoop loop, Runnable retry) {
        this.shareBytes = shareBytes;
        this.turn = new BudgetTurn(all, loop, retry);
    }

    /** Returns whether a request may be served now; if not, it is tried again later. */
    boolean mayServe(long bytes) {
        if (bytes <= shareBytes || takenBytes > 0) {
            return true;
        }
        if (!turn.tryTake(bytes)) {
            return false;
        }
        takenBytes = bytes;
        return true;
    }

    /** The request that may be served has got its memory. */
    void begun() {
        isBegun = true;
    }

    /** The memory of all that was begun is free. */
    void settled() {
        if (isBegun) {
            giveBack();
        }
    }

    private void giveBack() {
        isBegun = false;
        if (takenBytes > 0) {
            long bytes = takenBytes;
            takenBytes = 0;
            turn.giveBack(bytes);
        }
    }

    /** The connection is gone. */
    void close() {
        giveBack();
        turn.leave();
    }
}

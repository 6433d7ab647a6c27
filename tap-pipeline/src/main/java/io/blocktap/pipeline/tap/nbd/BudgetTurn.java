package io.blocktap.pipeline.tap.nbd;

import io.blocktap.transport.memory.MemoryBudget;
import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.memory.SlabAllocator;
import io.netty.channel.EventLoop;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;

/**
 * One connection's dealings with a {@link MemoryBudget}: it takes, or waits in line and is called when its turn has come.
 *
 * <p>Threads: the connection's event loop.
 */
final class BudgetTurn {
    private static final int LEAST_SLAB_BYTES = 4096;

    private final MemoryBudget budget;
    private final MemoryBudget.Waiter place;
    private final EventLoop loop;
    private final Runnable retry;
    private final Runnable called = this::called;
    private final Logger log;
    private boolean isInLine;
    private boolean hasTurn;

    /**
     * Makes the dealings of one connection.
     *
     * @param retry tries again what was refused
     */
    BudgetTurn(MemoryBudget budget, EventLoop loop, Runnable retry, Logger log) {
        this.budget = budget;
        this.loop = loop;
        this.retry = retry;
        this.log = log;
        this.place = budget.newWaiter(this::handOver);
    }

    /** Takes bytes, or gets in line for them. */
    boolean tryTake(long bytes) {
        boolean taken = mayTry() && budget.tryTake(bytes);
        if (!taken) {
            getInLine(bytes);
        }
        return taken;
    }

    /** Gives back what {@link #tryTake} has taken. */
    void giveBack(long bytes) {
        budget.giveBack(bytes);
    }

    /** Takes a buffer from slabs that count against the budget, or gets in line for it. */
    @Nullable
    RegionBuf tryAllocate(SlabAllocator slabs, int length) {
        RegionBuf data = mayTry() ? slabs.tryAllocate(length) : null;
        if (data == null) {
            // Slabs give out powers of two.
            getInLine(Math.max(LEAST_SLAB_BYTES, Integer.highestOneBit(length - 1) << 1));
        }
        return data;
    }

    private boolean mayTry() {
        if (hasTurn) {
            hasTurn = false;
            place.letGo();
            return true;
        }
        return !isInLine && !budget.isWaitedFor();
    }

    private void getInLine(long bytes) {
        if (!isInLine) {
            isInLine = true;
            place.await(bytes);
        }
    }

    /** On any thread. */
    private void handOver() {
        try {
            loop.execute(called);
        } catch (RejectedExecutionException e) {
            log.debug("the loop has ended, nobody waits for memory any more");
        }
    }

    private void called() {
        isInLine = false;
        hasTurn = true;
        retry.run();
        if (hasTurn) {
            leave(); // it was not needed any more
        }
    }

    /** Wants nothing any more. */
    void leave() {
        hasTurn = false;
        place.leave();
    }
}

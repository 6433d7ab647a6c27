package io.blocktap.transport.memory;

import io.netty.channel.EventLoop;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One channel's dealings with a {@link MemoryBudget}: it takes, or waits in line and is called when its turn has come.
 *
 * <p>Threads: the channel's event loop.
 */
public final class BudgetTurn {
    private static final Logger LOG = LoggerFactory.getLogger(BudgetTurn.class);

    private final MemoryBudget budget;
    private final MemoryBudget.Waiter place;
    private final EventLoop loop;
    private final Runnable retry;
    private final Runnable called = this::called;
    private boolean isInLine;
    private boolean hasTurn;

    /**
     * Makes the dealings of one channel.
     *
     * @param retry tries again what was refused; runs on the loop
     */
    public BudgetTurn(MemoryBudget budget, EventLoop loop, Runnable retry) {
        this.budget = budget;
        this.loop = loop;
        this.retry = retry;
        this.place = budget.newWaiter(this::handOver);
    }

    /** Takes bytes, or gets in line for them. */
    public boolean tryTake(long bytes) {
        boolean taken = mayTry() && budget.tryTake(bytes);
        if (!taken) {
            getInLine(bytes);
        }
        return taken;
    }

    /** Gives back what {@link #tryTake} has taken. */
    public void giveBack(long bytes) {
        budget.giveBack(bytes);
    }

    /** Takes a buffer from slabs that count against the budget; or gets in line for it, and returns null. */
    public @Nullable RegionBuf tryAllocate(SlabAllocator slabs, int lengthBytes) {
        RegionBuf data = mayTry() ? slabs.tryAllocate(lengthBytes) : null;
        if (data == null) {
            getInLine(SlabAllocator.charge(lengthBytes));
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
            LOG.debug("the loop has ended, nobody waits for memory any more");
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

    /** Wants nothing any more: what was put aside goes to others. */
    public void leave() {
        hasTurn = false;
        place.leave();
    }
}

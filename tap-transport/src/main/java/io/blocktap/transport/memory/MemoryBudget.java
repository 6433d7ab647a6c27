package io.blocktap.transport.memory;

import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A bound on the bytes of request data that are in flight, shared by all who take from it.
 *
 * <p>Who cannot get what it needs stops consuming (that is the back pressure) and asks to be told when something was given
 * back. Any thread.
 */
public final class MemoryBudget {
    private final long limitBytes;
    private final AtomicLong usedBytes = new AtomicLong();
    private final AtomicInteger waiting = new AtomicInteger();
    private final Queue<Runnable> waiters = new ConcurrentLinkedQueue<>();

    /** Makes a budget with the given limit. */
    public MemoryBudget(long limitBytes) {
        if (limitBytes <= 0) {
            throw new IllegalArgumentException("limit of " + limitBytes + " bytes; it must be positive");
        }
        this.limitBytes = limitBytes;
    }

    /** Returns the limit. */
    public long limitBytes() {
        return limitBytes;
    }

    /** Returns the bytes taken now. */
    public long usedBytes() {
        return usedBytes.get();
    }

    /**
     * Takes bytes if they are to be had. A single request larger than the whole limit is let through when nothing else
     * is in flight, so that it can not wait for ever.
     *
     * @return whether they were taken
     */
    public boolean tryTake(long bytes) {
        long used;
        do {
            used = usedBytes.get();
            if (used != 0 && bytes > limitBytes - used) {
                return false;
            }
        } while (!usedBytes.compareAndSet(used, used + bytes));
        return true;
    }

    /** Gives bytes back and wakes those who wait. */
    public void giveBack(long bytes) {
        usedBytes.addAndGet(-bytes);
        if (waiting.get() != 0) {
            wakeAll();
        }
    }

    /**
     * Asks for one call as soon as bytes were given back after a failed {@link #tryTake}. Try again after asking: bytes may have
     * been given back in between, and then the call may come at once or not at all.
     *
     * @param retry runs on whichever thread gives back; it must only hand over to its own event loop
     */
    public void callWhenGivenBack(Runnable retry) {
        waiters.add(retry);
        waiting.incrementAndGet();
    }

    private void wakeAll() {
        Runnable retry;
        while ((retry = waiters.poll()) != null) {
            waiting.decrementAndGet();
            retry.run();
        }
    }
}

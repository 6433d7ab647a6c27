package io.blocktap.terminator.memory;

import java.util.concurrent.atomic.AtomicLong;

/** Counts the pages that a disk has written and not discarded, and bounds them. Any thread. */
final class RamBudget {
    private final long limitPages;
    private final AtomicLong usedPages = new AtomicLong();

    /**
     * Makes a budget.
     *
     * @param limitPages {@link Long#MAX_VALUE} for no bound
     */
    RamBudget(long limitPages) {
        this.limitPages = limitPages;
    }

    /** Takes pages if they are to be had. */
    boolean tryTake(long pages) {
        if (usedPages.addAndGet(pages) > limitPages) {
            usedPages.addAndGet(-pages);
            return false;
        }
        return true;
    }

    /** Counts pages that are in use already, or no more (a negative number), bound or not. */
    void correct(long pages) {
        if (pages != 0) {
            usedPages.addAndGet(pages);
        }
    }

    /** Returns the pages in use. */
    long usedPages() {
        return usedPages.get();
    }
}

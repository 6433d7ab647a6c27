package io.blocktap.pipeline.qcow2;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * Tells when all transfers have ended that may still use a host cluster which has no place in the map any more.
 *
 * <p>A transfer enters before it looks up where its data are, and leaves when it has ended. Who has taken clusters out of the map turns the epoch; when the one before has emptied, nobody can use them.
 * Any thread; two atomic operations a transfer.
 */
final class IoEpochs {
    private final AtomicInteger[] inFlight = {new AtomicInteger(), new AtomicInteger()};
    private final Runnable emptied;
    private volatile int current;

    /** @param emptied called, on any thread, when an epoch that is over may have emptied without a {@link #leave} that says so */
    IoEpochs(Runnable emptied) {
        this.emptied = emptied;
    }

    /** Returns what {@link #leave} wants to have. */
    int enter() {
        while (true) {
            int slot = current;
            inFlight[slot].incrementAndGet();
            if (slot == current) {
                return slot;
            }
            // Turned meanwhile: it would count for the next but one. Whoever looked since may have found it not empty.
            if (inFlight[slot].decrementAndGet() == 0) {
                emptied.run();
            }
        }
    }

    /** Returns whether this was the last one of an epoch that is over. */
    boolean leave(int slot) {
        return inFlight[slot].decrementAndGet() == 0 && slot != current;
    }

    /** Begins a new epoch, after the one before the current has emptied. One thread at a time. Returns the slot of the one that is over. */
    int turn() {
        int over = current;
        current = 1 - over;
        return over;
    }

    boolean isEmpty(int slot) {
        return inFlight[slot].get() == 0;
    }
}

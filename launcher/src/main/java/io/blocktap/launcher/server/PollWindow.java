package io.blocktap.launcher.server;

/**
 * How long it pays to look for events before sleeping, learnt from how long the last sleeps were: a short one makes the window larger, one longer than the largest window makes
 * it zero. So nobody looks in vain more than once. The scheme is that of KVM's halt polling ({@code Documentation/virt/kvm/halt-polling.rst} of Linux).
 *
 * <p>Threads: one.
 */
final class PollWindow {
    private static final long FIRST_NANOS = 10_000;

    private final long mostNanos;
    private long nanos;

    /**
     * Makes a window that is closed at first.
     *
     * @param mostNanos how large it can become
     */
    PollWindow(long mostNanos) {
        this.mostNanos = mostNanos;
    }

    /** Returns how long to look before the next sleep, in nanoseconds; 0 for not at all. */
    long nanos() {
        return nanos;
    }

    /**
     * Learns from a sleep.
     *
     * @param waitedNanos how long nothing came, the time before it in which was looked included
     */
    void slept(long waitedNanos) {
        nanos = waitedNanos > mostNanos ? 0 : Math.min(mostNanos, Math.max(FIRST_NANOS, nanos * 2));
    }
}

package io.blocktap.transport;

import java.util.function.LongSupplier;

/**
 * Keeps what happens again and again from filling a log: the first time counts, then once in a while, with how often it happened since.
 *
 * <p>Any thread; for what is rare, since it takes a lock.
 */
public final class LogLimiter {
    private final long pauseNanos;
    private final LongSupplier clock;
    private boolean happened;
    private long loggedAt;
    private long unlogged;

    /**
     * Makes a limiter.
     *
     * @param pauseNanos time between two lines
     */
    public LogLimiter(long pauseNanos) {
        this(pauseNanos, System::nanoTime);
    }

    LogLimiter(long pauseNanos, LongSupplier clock) {
        this.pauseNanos = pauseNanos;
        this.clock = clock;
    }

    /**
     * Counts one time.
     *
     * @return 0 if nothing is to be logged; else how often it has happened since the last line, this time included
     */
    public synchronized long count() {
        long now = clock.getAsLong();
        unlogged++;
        if (happened && now - loggedAt < pauseNanos) {
            return 0;
        }
        happened = true;
        loggedAt = now;
        long times = unlogged;
        unlogged = 0;
        return times;
    }
}

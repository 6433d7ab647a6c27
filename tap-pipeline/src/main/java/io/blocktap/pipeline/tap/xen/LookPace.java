package io.blocktap.pipeline.tap.xen;

import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * How fast one device may be looked at: {@value #BURST} times at once, and 10 times a second on and on. A guest that writes its state without end costs no more than that, and
 * other devices get their turn.
 *
 * <p>Threads: the tap's control loop.
 */
final class LookPace {
    /** Looks without a pause; to connect and to disconnect take about ten each. */
    static final int BURST = 64;

    static final long INTERVAL_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

    private final LongSupplier clock;
    private long spent; // up to this moment the looks are paid for

    LookPace(LongSupplier clock) {
        this.clock = clock;
        this.spent = clock.getAsLong() - BURST * INTERVAL_NANOS;
    }

    /** Counts one look; returns how long to wait before it, in nanoseconds. */
    long nextDelayNanos() {
        long now = clock.getAsLong();
        spent = Math.max(spent - now, -BURST * INTERVAL_NANOS) + now + INTERVAL_NANOS;
        return Math.max(0, spent - now);
    }

    /** Returns whether the burst is used up. */
    boolean isSlow() {
        return spent - clock.getAsLong() > -INTERVAL_NANOS;
    }
}

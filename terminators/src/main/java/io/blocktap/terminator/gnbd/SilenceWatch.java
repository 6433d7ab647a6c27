package io.blocktap.terminator.gnbd;

import java.util.concurrent.TimeUnit;

/**
 * Notices that nothing moves: the same request is the oldest, or the server is away, for {@link #FIRST_SECONDS}, and then each time that twice as long has passed.
 *
 * <p>Looked at from time to time, so that requests pay nothing for it. Threads: the home loop.
 */
final class SilenceWatch {
    static final long FIRST_SECONDS = 10;
    /** No request waits. */
    static final long NOTHING = -1;
    /** There is no session. */
    static final long AWAY = -2;

    /** Hears of it. */
    interface Listener {
        /**
         * Nothing has moved for so long, or something moves again after that was told.
         *
         * @param isOver whether something moves again
         */
        void silent(long seconds, boolean isOver);
    }

    private final Listener listener;
    private long watched = NOTHING;
    private long sinceNanos;
    private long tellAfterSeconds = FIRST_SECONDS;

    SilenceWatch(Listener listener) {
        this.listener = listener;
    }

    /** Looks: what waits now is a request's number, {@link #NOTHING} or {@link #AWAY}. */
    void check(long waiting) {
        check(waiting, System.nanoTime());
    }

    void check(long waiting, long nowNanos) {
        long seconds = TimeUnit.NANOSECONDS.toSeconds(nowNanos - sinceNanos);
        if (waiting != watched) {
            if (watched >= 0 && tellAfterSeconds > FIRST_SECONDS) {
                listener.silent(seconds, true);
            }
            watched = waiting;
            sinceNanos = nowNanos;
            tellAfterSeconds = FIRST_SECONDS;
        } else if (watched != NOTHING && seconds >= tellAfterSeconds) {
            tellAfterSeconds = 2 * seconds;
            listener.silent(seconds, false);
        }
    }
}

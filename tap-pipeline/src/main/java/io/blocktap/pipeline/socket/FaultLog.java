package io.blocktap.pipeline.socket;

import io.blocktap.transport.LogLimiter;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.event.Level;

/**
 * Logs what the clients of one server do wrong. Who does it again and again can not fill the log: the first time is told at once, then one line of each kind in
 * ten seconds at most, with how often it happened since.
 *
 * <p>Any thread.
 */
public final class FaultLog {
    private static final long PAUSE_NANOS = TimeUnit.SECONDS.toNanos(10);

    /** What can be wrong with a client. */
    public enum Kind {
        /** It comes when there are too many, or the server is going down. */
        TURNED_AWAY(Level.WARN),
        /** It does not keep to the protocol. */
        PROTOCOL(Level.WARN),
        /** It does not say in time what it wants. */
        SILENT(Level.WARN),
        /** It leaves the server waiting in the middle of something. */
        STALLED(Level.WARN),
        /** It does not get what it wants, or wants something remarkable. */
        REFUSED(Level.INFO);

        private final Level level;

        Kind(Level level) {
            this.level = level;
        }
    }

    private final Logger log;
    private final Map<Kind, LogLimiter> limiters = new EnumMap<>(Kind.class);

    /** Makes the log of one server. */
    public FaultLog(Logger log) {
        this.log = log;
        for (Kind kind : Kind.values()) {
            limiters.put(kind, new LogLimiter(PAUSE_NANOS));
        }
    }

    /**
     * Tells of one fault.
     *
     * @param label the tap and who it is
     */
    public void tell(Kind kind, String label, String what) {
        LogLimiter limiter = limiters.get(kind);
        long times = limiter == null ? 1 : limiter.count();
        if (times > 0) {
            String since = times == 1 ? "" : " (" + times + " such since the last line)";
            log.atLevel(kind.level).log("{}: {}{}", label, what, since);
        }
    }

    /** Returns the log itself, for what does not come from clients. */
    Logger log() {
        return log;
    }
}

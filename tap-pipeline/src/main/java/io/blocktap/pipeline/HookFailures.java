package io.blocktap.pipeline;

import io.blocktap.transport.LogLimiter;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Logs what hooks throw: the first time of its kind with a trace, then one line in a while. A hook that fails on every request must not fill the disk. */
final class HookFailures {
    private static final long PAUSE_NANOS = TimeUnit.SECONDS.toNanos(10);
    /** Kinds that are told apart. */
    private static final int MOST_KINDS = 64;

    private final String diskName;
    private final Map<String, LogLimiter> kinds = new HashMap<>();

    HookFailures(String diskName) {
        this.diskName = diskName;
    }

    void log(String what, BlockRequest request, String consequence, Throwable cause) {
        String kind = what + " " + cause.getClass().getName();
        LogLimiter limiter = kinds.get(kind);
        if (limiter == null) {
            if (kinds.size() == MOST_KINDS) {
                kinds.clear();
            }
            limiter = new LogLimiter(PAUSE_NANOS);
            kinds.put(kind, limiter);
            limiter.count();
            Logs.CHAIN.error("[{}] {} failed on {}; {}", diskName, what, request, consequence, cause);
            return;
        }
        long times = limiter.count();
        if (times > 0) {
            Logs.CHAIN.error(
                    "[{}] {} failed {} times since, last on {}: {}; {}",
                    diskName,
                    what,
                    times,
                    request,
                    cause.toString(),
                    consequence);
        }
    }
}

package io.blocktap.launcher;

import io.blocktap.launcher.server.ServerSettings;
import io.blocktap.pipeline.config.ConfigException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The server's settings as options of a command. */
final class ServerOptions {
    @Option(
            names = "--threads",
            paramLabel = "N",
            description =
                    "Event loops; half the processors by default. A disk with a stage that is confined to one loop uses one.")
    @Nullable
    String threads;

    @Option(
            names = "--event-loop",
            paramLabel = "KIND",
            description = "What they wait on: epoll, io_uring or auto, which is epoll.")
    @Nullable
    String eventLoop;

    @Option(
            names = "--busy-poll",
            paramLabel = "TIME",
            description =
                    "The longest that an event loop looks for requests before it sleeps; 100us by default, 0s on one processor.")
    @Nullable
    String busyPoll;

    @Option(names = "--workers", paramLabel = "N", description = "Threads for work that may wait; 8 by default.")
    @Nullable
    String workers;

    @Option(
            names = "--max-in-flight-bytes",
            paramLabel = "SIZE",
            description = "Bound on request data in flight, of all taps together; 256M by default.")
    @Nullable
    String maxInFlightBytes;

    @Option(
            names = "--drain-timeout",
            paramLabel = "TIME",
            description = "How long a stop may take before it ends hard, with exit code 1; 30s by default.")
    @Nullable
    String drainTimeout;

    /** Returns the settings with what was given replaced. */
    ServerSettings applyTo(ServerSettings settings) throws ConfigException {
        Map<String, String> given = new LinkedHashMap<>();
        put(given, ServerSettings.THREADS, threads);
        put(given, ServerSettings.EVENT_LOOP, eventLoop);
        put(given, ServerSettings.BUSY_POLL, busyPoll);
        put(given, ServerSettings.WORKERS, workers);
        put(given, ServerSettings.MAX_IN_FLIGHT_BYTES, maxInFlightBytes);
        put(given, ServerSettings.DRAIN_TIMEOUT, drainTimeout);
        ServerSettings changed = settings;
        List<String> mistakes = new ArrayList<>();
        for (Map.Entry<String, String> each : given.entrySet()) {
            try {
                changed = changed.with("--" + each.getKey() + " " + each.getValue(), each.getKey(), each.getValue());
            } catch (ConfigException e) {
                mistakes.add(String.valueOf(e.getMessage()));
            }
        }
        if (!mistakes.isEmpty()) {
            throw new ConfigException(String.join("\n", mistakes));
        }
        return changed;
    }

    private static void put(Map<String, String> given, String key, @Nullable String value) {
        if (value != null) {
            given.put(key, value);
        }
    }
}

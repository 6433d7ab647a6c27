package io.blocktap.launcher.server;

import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a server is made of, beside its taps and disks. Command line and configuration file share {@link #OPTIONS}.
 *
 * @param threads event loops, 1 to 1024
 * @param eventLoop what they wait on
 * @param busyPoll the longest that an event loop looks for events before it sleeps, 0 to 1 ms
 * @param workers threads for work that may wait, 1 to 1024
 * @param maxInFlightBytes bound on request data in flight, over all loops; 1 MiB or more
 * @param drainTimeout how long a stop may take
 */
public record ServerSettings(
        int threads,
        EventLoopKind eventLoop,
        Duration busyPoll,
        int workers,
        long maxInFlightBytes,
        Duration drainTimeout) {
    /** Name of the event loops' option. */
    public static final String THREADS = "threads";
    /** Name of the option that says what event loops wait on. */
    public static final String EVENT_LOOP = "event-loop";
    /** Name of the option that says how long event loops look before they sleep. */
    public static final String BUSY_POLL = "busy-poll";
    /** Name of the workers' option. */
    public static final String WORKERS = "workers";
    /** Name of the option that bounds request data in flight. */
    public static final String MAX_IN_FLIGHT_BYTES = "max-in-flight-bytes";
    /** Name of the option that bounds how long a stop may take. */
    public static final String DRAIN_TIMEOUT = "drain-timeout";

    private static final int MOST_THREADS = 1024;
    private static final Duration LONGEST_BUSY_POLL = Duration.ofMillis(1);
    private static final long LEAST_IN_FLIGHT_BYTES = 1 << 20;

    /** The settings as options, with their defaults. */
    public static final List<OptionSpec> OPTIONS = List.of(
            OptionSpec.optional(THREADS, OptionType.NUMBER, "event loops, 1 to 1024; half the processors by default"),
            OptionSpec.choice(
                    EVENT_LOOP,
                    "auto",
                    List.of("auto", "epoll", "io_uring"),
                    "what event loops wait on; auto is epoll"),
            OptionSpec.optional(
                    BUSY_POLL,
                    OptionType.DURATION,
                    "the longest that an event loop looks for requests before it sleeps, 0s to 1ms; 100us by default, 0s on one processor"),
            OptionSpec.optional(WORKERS, OptionType.NUMBER, "threads for work that may wait, 1 to 1024")
                    .withDefault("8"),
            OptionSpec.optional(
                            MAX_IN_FLIGHT_BYTES,
                            OptionType.SIZE,
                            "bound on request data in flight, of all taps together")
                    .withDefault("256M"),
            OptionSpec.optional(DRAIN_TIMEOUT, OptionType.DURATION, "how long a stop may take before it ends hard")
                    .withDefault("30s"));

    /** What is used unless told otherwise. */
    public static final ServerSettings DEFAULT = new ServerSettings(
            EventLoops.defaultThreads(),
            EventLoopKind.AUTO,
            EventLoops.defaultBusyPoll(),
            8,
            256L << 20,
            Duration.ofSeconds(30));

    /** Checks the ranges. */
    public ServerSettings {
        requireRange(THREADS, threads, 1, MOST_THREADS);
        if (busyPoll.isNegative() || busyPoll.compareTo(LONGEST_BUSY_POLL) > 0) {
            throw new IllegalArgumentException(BUSY_POLL + "=" + OptionWords.duration(busyPoll) + ": it is 0s to 1ms");
        }
        requireRange(WORKERS, workers, 1, MOST_THREADS);
        requireRange(MAX_IN_FLIGHT_BYTES, maxInFlightBytes, LEAST_IN_FLIGHT_BYTES, Long.MAX_VALUE);
        if (drainTimeout.isNegative()) {
            throw new IllegalArgumentException(DRAIN_TIMEOUT + " " + drainTimeout + "; 0s or more");
        }
    }

    private static void requireRange(String name, long value, long least, long most) {
        if (value < least || value > most) {
            throw new IllegalArgumentException(
                    name + "=" + value + ": it is " + least + (most == Long.MAX_VALUE ? " or more" : " to " + most));
        }
    }

    /**
     * Changes one setting.
     *
     * @param shown how the user wrote it, for messages
     * @param key an option's name
     * @param value its value, as text
     * @throws ConfigException if the name or value is wrong, one line
     */
    public ServerSettings with(String shown, String key, String value) throws ConfigException {
        StageText text = new StageText("server", List.of(new StageText.Setting(key, value)), shown);
        OptionValues values = OptionValues.parse(text, OPTIONS);
        try {
            return new ServerSettings(
                    key.equals(THREADS) ? narrow(values.number(THREADS)) : threads,
                    key.equals(EVENT_LOOP) ? EventLoopKind.of(values.choice(EVENT_LOOP)) : eventLoop,
                    key.equals(BUSY_POLL) ? values.duration(BUSY_POLL) : busyPoll,
                    key.equals(WORKERS) ? narrow(values.number(WORKERS)) : workers,
                    key.equals(MAX_IN_FLIGHT_BYTES) ? values.sizeBytes(MAX_IN_FLIGHT_BYTES) : maxInFlightBytes,
                    key.equals(DRAIN_TIMEOUT) ? values.duration(DRAIN_TIMEOUT) : drainTimeout);
        } catch (IllegalArgumentException e) {
            throw new ConfigException("'" + shown + "': " + e.getMessage());
        }
    }

    private static int narrow(long value) {
        return (int) Math.max(Integer.MIN_VALUE, Math.min(Integer.MAX_VALUE, value));
    }

    /** Returns the settings by option name: numbers, and text that {@link #with} reads. */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put(THREADS, threads);
        map.put(EVENT_LOOP, eventLoop.word());
        map.put(BUSY_POLL, OptionWords.duration(busyPoll));
        map.put(WORKERS, workers);
        map.put(MAX_IN_FLIGHT_BYTES, maxInFlightBytes);
        map.put(DRAIN_TIMEOUT, OptionWords.duration(drainTimeout));
        return map;
    }
}

package io.blocktap.launcher.load;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * What a driving process is to do.
 *
 * @param verified write all, flush, read all and compare; else reads and writes for a time
 * @param pattern of a timed one: {@code read}, {@code write}, {@code rw}, {@code randread}, {@code randwrite}, {@code randrw}
 * @param blockBytes of a timed one: length of each request
 * @param queueDepth requests in flight of each client
 * @param jobs clients
 * @param warmUpMillis of a timed one: not measured
 * @param measuredMillis of a timed one
 * @param rangeBytes how much of the disk is used; 0 for all
 * @param seed of offsets and content
 */
public record LoadSpec(
        boolean verified,
        String pattern,
        int blockBytes,
        int queueDepth,
        int jobs,
        long warmUpMillis,
        long measuredMillis,
        long rangeBytes,
        long seed) {

    /** Returns the words for patterns. */
    public static List<String> patterns() {
        return Arrays.stream(TimedWorkload.Pattern.values())
                .map(TimedWorkload.Pattern::word)
                .toList();
    }

    /** Returns whether it changes the disk. */
    public boolean writes() {
        return verified || TimedWorkload.Pattern.of(pattern).readPercent < 100;
    }

    /** Returns the arguments of the hidden command {@code drive} for this. */
    List<String> toArguments() {
        List<String> arguments = new ArrayList<>();
        if (verified) {
            arguments.add("--verified");
        }
        arguments.addAll(List.of(
                "--rw=" + pattern.toLowerCase(Locale.ROOT),
                "--bs=" + blockBytes,
                "--qd=" + queueDepth,
                "--jobs=" + jobs,
                "--warm-up=" + warmUpMillis + "ms",
                "--time=" + measuredMillis + "ms",
                "--range=" + rangeBytes,
                "--seed=" + seed));
        return arguments;
    }
}

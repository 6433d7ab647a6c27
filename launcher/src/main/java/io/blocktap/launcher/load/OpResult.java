package io.blocktap.launcher.load;

import io.blocktap.pipeline.BlockOp;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/**
 * What was measured of one kind of request.
 *
 * @param op the kind
 * @param requests how many ended, failed ones included
 * @param errors how many failed
 * @param bytes of those that did not
 * @param seconds from the first issue to the last end
 * @param meanMicros mean latency
 * @param p50Micros latency that half of the requests did not exceed
 * @param p99Micros latency that 99 of 100 did not exceed
 * @param p999Micros latency that 999 of 1000 did not exceed
 * @param maxMicros longest latency
 */
public record OpResult(
        BlockOp op,
        long requests,
        long errors,
        long bytes,
        double seconds,
        double meanMicros,
        double p50Micros,
        double p99Micros,
        double p999Micros,
        double maxMicros) {

    /** Returns requests a second. */
    public double iops() {
        return seconds > 0 ? requests / seconds : 0;
    }

    /** Returns millions of bytes a second. */
    public double megabytesPerSecond() {
        return seconds > 0 ? bytes / 1e6 / seconds : 0;
    }

    /** Writes the result as one line for {@link #parse}. */
    String toLine() {
        return String.join(
                " ",
                op.name(),
                Long.toString(requests),
                Long.toString(errors),
                Long.toString(bytes),
                Double.toString(seconds),
                Double.toString(meanMicros),
                Double.toString(p50Micros),
                Double.toString(p99Micros),
                Double.toString(p999Micros),
                Double.toString(maxMicros));
    }

    /** Reads what {@link #toLine} has written. */
    static OpResult parse(String line) {
        String[] words = line.split(" ");
        return new OpResult(
                BlockOp.valueOf(words[0]),
                Long.parseLong(words[1]),
                Long.parseLong(words[2]),
                Long.parseLong(words[3]),
                Double.parseDouble(words[4]),
                Double.parseDouble(words[5]),
                Double.parseDouble(words[6]),
                Double.parseDouble(words[7]),
                Double.parseDouble(words[8]),
                Double.parseDouble(words[9]));
    }

    /** Returns the kind in small letters. */
    public String word() {
        return op.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** Returns the result for JSON. */
    public Map<String, Object> toMap() {
        Map<String, Object> latency = new LinkedHashMap<>();
        latency.put("mean", rounded(meanMicros));
        latency.put("p50", rounded(p50Micros));
        latency.put("p99", rounded(p99Micros));
        latency.put("p99.9", rounded(p999Micros));
        latency.put("max", rounded(maxMicros));
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("op", word());
        map.put("requests", requests);
        map.put("errors", errors);
        map.put("bytes", bytes);
        map.put("seconds", rounded(seconds));
        map.put("iops", rounded(iops()));
        map.put("megabytesPerSecond", rounded(megabytesPerSecond()));
        map.put("latencyMicros", latency);
        return map;
    }

    /** Rounds to thousandths. */
    public static double rounded(double value) {
        return Math.round(value * 1000) / 1000.0;
    }
}

package io.blocktap.launcher;

import io.blocktap.launcher.load.OpResult;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;

/** Prints measurements as a table. */
final class Report {
    private Report() {}

    static void print(PrintWriter out, List<OpResult> results) {
        out.println(String.format(
                "%-6s %10s %7s %10s %9s %10s %10s %10s %10s",
                "", "requests", "errors", "IOPS", "MB/s", "p50 us", "p99 us", "p99.9 us", "max us"));
        for (OpResult result : results) {
            out.println(String.format(
                    Locale.ROOT,
                    "%-6s %10d %7d %10.0f %9.1f %10.1f %10.1f %10.1f %10.1f",
                    result.word(),
                    result.requests(),
                    result.errors(),
                    result.iops(),
                    result.megabytesPerSecond(),
                    result.p50Micros(),
                    result.p99Micros(),
                    result.p999Micros(),
                    result.maxMicros()));
        }
    }
}

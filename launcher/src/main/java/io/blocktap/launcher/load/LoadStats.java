package io.blocktap.launcher.load;

import io.blocktap.pipeline.BlockOp;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/** Counts and latencies of all clients of a process. Confined to their event loop. */
final class LoadStats {
    private static final long MOST_NANOS = TimeUnit.MINUTES.toNanos(10);

    private final Map<BlockOp, Histogram> latencies = new EnumMap<>(BlockOp.class);
    private final long[] bytes = new long[BlockOp.values().length];
    private final long[] errors = new long[BlockOp.values().length];
    private final long[] firstNanos = new long[BlockOp.values().length];
    private final long[] lastNanos = new long[BlockOp.values().length];
    private boolean counting;

    LoadStats() {
        for (BlockOp op : List.of(BlockOp.READ, BlockOp.WRITE, BlockOp.FLUSH)) {
            latencies.put(op, new Histogram(MOST_NANOS, 3));
        }
    }

    void counting(boolean on) {
        counting = on;
    }

    void count(Slot slot, boolean ok, long nowNanos) {
        if (!counting) {
            return;
        }
        int op = slot.op.ordinal();
        Histogram latency = java.util.Objects.requireNonNull(latencies.get(slot.op));
        if (latency.getTotalCount() == 0) {
            firstNanos[op] = slot.issuedNanos;
        }
        lastNanos[op] = nowNanos;
        latency.recordValue(Math.min(MOST_NANOS, nowNanos - slot.issuedNanos));
        if (ok) {
            bytes[op] += slot.lengthBytes;
        } else {
            errors[op]++;
        }
    }

    long errors() {
        long sum = 0;
        for (long each : errors) {
            sum += each;
        }
        return sum;
    }

    /** Returns a result for each kind of request that there was. */
    List<OpResult> results() {
        List<OpResult> results = new ArrayList<>();
        latencies.forEach((op, latency) -> {
            if (latency.getTotalCount() > 0) {
                int index = op.ordinal();
                results.add(new OpResult(
                        op,
                        latency.getTotalCount(),
                        errors[index],
                        bytes[index],
                        (lastNanos[index] - firstNanos[index]) / 1e9,
                        latency.getMean() / 1e3,
                        latency.getValueAtPercentile(50) / 1e3,
                        latency.getValueAtPercentile(99) / 1e3,
                        latency.getValueAtPercentile(99.9) / 1e3,
                        latency.getMaxValue() / 1e3));
            }
        });
        return results;
    }
}

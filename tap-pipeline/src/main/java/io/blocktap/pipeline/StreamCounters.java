package io.blocktap.pipeline;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * Counts what a stream has answered. Written by the stream's event loop only, read from any thread (a reader may see a request
 * late, never half).
 */
public final class StreamCounters {
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);
    private static final int OPS = BlockOp.values().length;

    private final long[] requests = new long[OPS];
    private final long[] bytes = new long[OPS];
    private final long[] errors = new long[OPS];

    void count(BlockRequest request) {
        int op = request.op().ordinal();
        add(requests, op, 1);
        if (request.response().status() == BlockStatus.OK) {
            add(bytes, op, request.lengthBytes());
        } else {
            add(errors, op, 1);
        }
    }

    private static void add(long[] counters, int index, long amount) {
        LONGS.setOpaque(counters, index, (long) LONGS.getOpaque(counters, index) + amount);
    }

    /** Returns how many requests of a kind were answered, failed ones included. */
    public long requests(BlockOp op) {
        return (long) LONGS.getOpaque(requests, op.ordinal());
    }

    /** Returns the bytes of the ranges of successful requests of a kind. */
    public long bytes(BlockOp op) {
        return (long) LONGS.getOpaque(bytes, op.ordinal());
    }

    /** Returns how many requests of a kind failed. */
    public long errors(BlockOp op) {
        return (long) LONGS.getOpaque(errors, op.ordinal());
    }
}

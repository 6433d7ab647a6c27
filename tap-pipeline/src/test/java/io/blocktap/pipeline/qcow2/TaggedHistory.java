package io.blocktap.pipeline.qcow2;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Knows for each granule of a disk what it may hold. Each write has a tag of its own, which it repeats in all its granules; so a value tells by whom it was written.
 *
 * <p>Of two operations neither of which had ended when the other began either may win; one that had ended before loses.
 */
final class TaggedHistory {
    /** Less than a sector, so that parts of sectors are written, too. */
    static final int GRANULE_BYTES = 128;

    static final long ZERO = 0;
    private static final long NEVER = Long.MAX_VALUE;

    /** One operation on a range. */
    static final class Op {
        final long tag;
        final long begun;
        final boolean isFua;
        /** It may have had no effect: a discard. */
        final boolean isOptional;

        volatile long ended = NEVER;

        Op(long tag, long begun, boolean isFua, boolean isOptional) {
            this.tag = tag;
            this.begun = begun;
            this.isFua = isFua;
            this.isOptional = isOptional;
        }
    }

    /** A flush that was answered. */
    record Flush(long begun, long ended) {}

    private final AtomicLong clock;
    private final List<List<Op>> granules = new ArrayList<>();
    private final List<Flush> flushes = new ArrayList<>();

    /** @param base what is there before: a tag for each granule */
    TaggedHistory(AtomicLong clock, long[] base) {
        this.clock = clock;
        for (long tag : base) {
            List<Op> ops = new ArrayList<>();
            Op first = new Op(tag, 0, true, false);
            first.ended = 0;
            ops.add(first);
            granules.add(ops);
        }
    }

    synchronized Op begin(int firstGranule, int count, long tag, boolean isFua, boolean isOptional) {
        Op op = new Op(tag, clock.incrementAndGet(), isFua, isOptional);
        for (int i = firstGranule; i < firstGranule + count; i++) {
            granules.get(i).add(op);
        }
        return op;
    }

    void end(Op op) {
        op.ended = clock.incrementAndGet();
    }

    synchronized void flushed(long begun) {
        flushes.add(new Flush(begun, clock.incrementAndGet()));
    }

    /** Returns whether a granule may hold a value after a crash at a time. */
    synchronized boolean isLegalAfterCrash(int granule, long value, long crash) {
        long flushed = -1;
        for (Flush flush : flushes) {
            if (flush.ended < crash) {
                flushed = Math.max(flushed, flush.begun);
            }
        }
        List<Op> ops = granules.get(granule);
        long latestDurableBegin = -1;
        for (Op op : ops) {
            boolean isDurable = op.ended < flushed || op.isFua && op.ended < crash;
            if (isDurable && !op.isOptional) {
                latestDurableBegin = Math.max(latestDurableBegin, op.begun);
            }
        }
        return isOneOf(ops, value, crash, latestDurableBegin);
    }

    /** Returns whether a read that began and ended at these times may have seen a value. */
    synchronized boolean isLegalForRead(int granule, long value, long begun, long ended) {
        List<Op> ops = granules.get(granule);
        long latestEndedBegin = -1;
        for (Op op : ops) {
            if (op.ended < begun && !op.isOptional) {
                latestEndedBegin = Math.max(latestEndedBegin, op.begun);
            }
        }
        return isOneOf(ops, value, ended, latestEndedBegin);
    }

    private static boolean isOneOf(List<Op> ops, long value, long before, long after) {
        for (Op op : ops) {
            if (op.tag == value && op.begun < before && op.ended >= after) {
                return true;
            }
        }
        return false;
    }

    String describe(int granule) {
        StringBuilder text = new StringBuilder();
        for (Op op : granules.get(granule)) {
            text.append(String.format(
                    "%n  %s tag %x %d-%d%s",
                    op.isOptional ? "discard" : "write", op.tag, op.begun, op.ended, op.isFua ? " FUA" : ""));
        }
        return text + "\n  flushes " + flushes;
    }

    /** Returns bytes of granules that all hold a tag. */
    static byte[] bytes(int granules, long tag) {
        ByteBuffer bytes = ByteBuffer.allocate(granules * GRANULE_BYTES);
        while (bytes.hasRemaining()) {
            bytes.putLong(tag);
        }
        return bytes.array();
    }

    /** Returns the tag that a granule holds; -1 if it is torn, which no single write leaves. */
    static long tag(byte[] content, int granule) {
        ByteBuffer bytes = ByteBuffer.wrap(content, granule * GRANULE_BYTES, GRANULE_BYTES);
        long tag = bytes.getLong();
        while (bytes.hasRemaining()) {
            if (bytes.getLong() != tag) {
                return -1;
            }
        }
        return tag;
    }
}

package io.blocktap.pipeline.qcow2;

import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * A set of host clusters: by a bit each where some of a chunk are in it, by one object for chunks that are in it whole.
 *
 * <p>It has a bound: of a set in very many pieces some are forgotten.
 *
 * <p>Threads: one at a time.
 */
final class FreeClusters {
    static final int CHUNK_CLUSTERS = 1 << 15;
    /** So many chunks at most are kept in part: 8 MiB of bits. */
    static final int MOST_PARTS = 1 << 11;

    private final TreeMap<Long, Chunk> chunks = new TreeMap<>();
    private int parts;
    private long count;
    private long length;

    /** Some clusters beside each other. */
    private static final class Chunk {
        /** Null if all are in the set. */
        long @Nullable [] bits;

        int count;

        Chunk(long @Nullable [] bits, int count) {
            this.bits = bits;
            this.count = count;
        }
    }

    /** Returns how many there are. */
    long count() {
        return count;
    }

    /** Adds clusters in a row, none of which is there. */
    void add(long first, long added) {
        long end = first + added;
        for (long at = first; at < end; ) {
            long chunk = at / CHUNK_CLUSTERS;
            long chunkEnd = Math.min(end, (chunk + 1) * CHUNK_CLUSTERS);
            addIn(chunk, (int) (at % CHUNK_CLUSTERS), (int) (chunkEnd - at));
            at = chunkEnd;
        }
    }

    private void addIn(long number, int from, int added) {
        Chunk chunk = chunks.get(number);
        if (chunk == null) {
            if (added < CHUNK_CLUSTERS && parts >= MOST_PARTS) {
                return;
            }
            chunk = new Chunk(added < CHUNK_CLUSTERS ? newPart() : null, 0);
            chunks.put(number, chunk);
        }
        long[] bits = chunk.bits;
        if (bits != null) {
            change(bits, from, added, 0);
        } else if (chunk.count > 0) {
            throw freeTwice();
        }
        chunk.count += added;
        count += added;
        if (bits != null && chunk.count == CHUNK_CLUSTERS) {
            chunk.bits = null;
            parts--;
        }
    }

    private long[] newPart() {
        parts++;
        return new long[CHUNK_CLUSTERS / Long.SIZE];
    }

    /** Turns bits in a row. What all bits of a word are tells what they have to be before: 0 or -1. */
    private static void change(long[] bits, int from, int changed, long before) {
        int end = from + changed;
        for (int at = from; at < end; ) {
            int inWord = at % Long.SIZE;
            int here = Math.min(Long.SIZE - inWord, end - at);
            long mask = -1L >>> Long.SIZE - here << inWord;
            if (((bits[at / Long.SIZE] ^ before) & mask) != 0) {
                throw freeTwice();
            }
            bits[at / Long.SIZE] ^= mask;
            at += here;
        }
    }

    private static IllegalStateException freeTwice() {
        return new IllegalStateException("a host cluster is free twice, or taken twice");
    }

    /** Returns whether there is one with this number, or a greater one. */
    boolean hasFrom(long cluster) {
        return firstFrom(cluster) >= 0;
    }

    /** Returns the first one's number that is not less than the given one; -1 if there is none. */
    private long firstFrom(long cluster) {
        if (chunks.isEmpty()) {
            return -1;
        }
        Long number = chunks.firstKey();
        int from = 0;
        if (number < cluster / CHUNK_CLUSTERS) {
            number = chunks.ceilingKey(cluster / CHUNK_CLUSTERS);
        }
        while (number != null) {
            from = number == cluster / CHUNK_CLUSTERS ? (int) (cluster % CHUNK_CLUSTERS) : 0;
            int found = next(get(number), from);
            if (found < CHUNK_CLUSTERS) {
                return number * CHUNK_CLUSTERS + found;
            }
            number = chunks.higherKey(number);
        }
        return -1;
    }

    private Chunk get(Long number) {
        return Objects.requireNonNull(chunks.get(number));
    }

    /** Returns the index of the first one in a chunk from an index on; {@link #CHUNK_CLUSTERS} if there is none. */
    private static int next(Chunk chunk, int from) {
        return chunk.bits == null ? from : nextIn(chunk.bits, from, 0);
    }

    /** Returns where a bit is that is not as all those of a word are: 0 finds ones, -1 finds zeroes. */
    private static int nextIn(long[] bits, int from, long passed) {
        int word = from / Long.SIZE;
        long found = (bits[word] ^ passed) & -1L << from;
        while (found == 0) {
            if (++word == bits.length) {
                return CHUNK_CLUSTERS;
            }
            found = bits[word] ^ passed;
        }
        return word * Long.SIZE + Long.numberOfTrailingZeros(found);
    }

    /**
     * Takes some in a row, the first ones that are not less than a number.
     *
     * @param wanted how many at most; {@link #length} tells how many it were
     * @return the first one's number; -1 if there is none
     */
    long take(long least, long wanted) {
        long first = firstFrom(least);
        if (first < 0) {
            return -1;
        }
        long number = first / CHUNK_CLUSTERS;
        int from = (int) (first % CHUNK_CLUSTERS);
        Chunk chunk = get(number);
        int end = chunk.bits == null ? CHUNK_CLUSTERS : nextIn(chunk.bits, from, -1);
        int taken = (int) Math.min(wanted, end - from);
        remove(number, chunk, from, taken);
        length = taken;
        return first;
    }

    private void remove(long number, Chunk chunk, int from, int taken) {
        chunk.count -= taken;
        count -= taken;
        if (chunk.count == 0) {
            chunks.remove(number);
            parts -= chunk.bits == null ? 0 : 1;
            return;
        }
        if (chunk.bits == null) {
            long[] bits = newPart();
            change(bits, 0, CHUNK_CLUSTERS, 0);
            chunk.bits = bits;
        }
        change(chunk.bits, from, taken, -1);
    }

    /** Returns how many the last {@link #take} has taken. */
    long length() {
        return length;
    }
}

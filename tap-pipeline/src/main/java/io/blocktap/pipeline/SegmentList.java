package io.blocktap.pipeline;

/**
 * The segments of a ring request as the frontend gave them: which sectors of which granted pages hold its data, in order. Recycled with its
 * request.
 *
 * <p>Threads: the request's.
 */
public final class SegmentList {
    private static final int FIRST_SHIFT = 32;
    private static final int LAST_SHIFT = 40;

    // A segment a word: grant reference, first sector, last sector.
    private long[] words = new long[16];
    private int count;

    /** Makes an empty list. */
    public SegmentList() {}

    /** Empties the list. */
    public void clear() {
        count = 0;
    }

    /** Appends a segment; sectors count from the start of the page, the last one is inclusive. */
    public void add(int gref, int firstSector, int lastSector) {
        if (count == words.length) {
            words = java.util.Arrays.copyOf(words, count * 2);
        }
        words[count++] = gref & 0xffff_ffffL | (long) firstSector << FIRST_SHIFT | (long) lastSector << LAST_SHIFT;
    }

    /** Makes this list the same as another one. */
    public void copyFrom(SegmentList other) {
        if (words.length < other.count) {
            words = new long[other.words.length];
        }
        System.arraycopy(other.words, 0, words, 0, other.count);
        count = other.count;
    }

    /** Returns the number of segments. */
    public int count() {
        return count;
    }

    /** Returns the grant reference of a segment. */
    public int gref(int index) {
        return (int) words[index];
    }

    /** Returns the first sector of a segment in its page, 0 to 7. */
    public int firstSector(int index) {
        return (int) (words[index] >>> FIRST_SHIFT) & 0xff;
    }

    /** Returns the last sector of a segment in its page, inclusive, 0 to 7. */
    public int lastSector(int index) {
        return (int) (words[index] >>> LAST_SHIFT) & 0xff;
    }
}

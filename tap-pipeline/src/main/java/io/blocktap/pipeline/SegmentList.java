package io.blocktap.pipeline;

/**
 * The segments of a ring request as the frontend gave them: which sectors of which granted pages hold its data, in order. Recycled with its
 * request.
 *
 * <p>Threads: the request's.
 */
public final class SegmentList {
    private int[] grefs = new int[16];
    private byte[] firstSectors = new byte[16];
    private byte[] lastSectors = new byte[16];
    private int count;

    /** Makes an empty list. */
    public SegmentList() {}

    /** Empties the list. */
    public void clear() {
        count = 0;
    }

    /** Appends a segment; sectors count from the start of the page, the last one is inclusive. */
    public void add(int gref, int firstSector, int lastSector) {
        if (count == grefs.length) {
            grefs = java.util.Arrays.copyOf(grefs, count * 2);
            firstSectors = java.util.Arrays.copyOf(firstSectors, count * 2);
            lastSectors = java.util.Arrays.copyOf(lastSectors, count * 2);
        }
        grefs[count] = gref;
        firstSectors[count] = (byte) firstSector;
        lastSectors[count] = (byte) lastSector;
        count++;
    }

    /** Returns the number of segments. */
    public int count() {
        return count;
    }

    /** Returns the grant reference of a segment. */
    public int gref(int index) {
        return grefs[index];
    }

    /** Returns the first sector of a segment in its page, 0 to 7. */
    public int firstSector(int index) {
        return firstSectors[index];
    }

    /** Returns the last sector of a segment in its page, inclusive, 0 to 7. */
    public int lastSector(int index) {
        return lastSectors[index];
    }
}

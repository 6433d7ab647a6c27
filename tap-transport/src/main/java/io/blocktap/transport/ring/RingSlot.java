package io.blocktap.transport.ring;

import java.nio.ByteBuffer;

/**
 * A private copy of one slot, and the layout to read it with. The frontend can not change it any more.
 *
 * <p>One object serves all slots of a ring, one after another: what receives it decodes it before it returns. Offsets are those of
 * {@link BlkifLayout}; what lies behind the parts that a request of its kind uses is left over from earlier slots. Threads: the ring's own.
 */
public final class RingSlot {
    private static final int HEAD_WORDS = 3;

    private final BlkifLayout layout;
    private final int idOffset;
    private final int headBytes;
    // Words, not a buffer: what is read of a slot costs less than the checks of a buffer.
    private final long[] words;
    private int entry;

    /** Makes an empty slot. */
    public RingSlot(BlkifLayout layout) {
        this.layout = layout;
        this.idOffset = layout.id();
        this.headBytes = layout.segment(0);
        this.words = new long[layout.slotBytes() + 7 >>> 3];
    }

    /** Returns the layout of the slot. */
    public BlkifLayout layout() {
        return layout;
    }

    /** Returns the unsigned byte at an offset. */
    public int getUnsignedByte(int offset) {
        return (int) (words[offset >>> 3] >>> ((offset & 7) << 3)) & 0xff;
    }

    /** Returns the unsigned 16-bit number at an even offset. */
    public int getUnsignedShort(int offset) {
        return (int) (words[offset >>> 3] >>> ((offset & 6) << 3)) & 0xffff;
    }

    /** Returns the 32-bit number at an offset that is a multiple of 4. */
    public int getInt(int offset) {
        return (int) (words[offset >>> 3] >>> ((offset & 4) << 3));
    }

    /** Returns the 64-bit number at an offset that is a multiple of 4. */
    public long getLong(int offset) {
        int word = offset >>> 3;
        return (offset & 4) == 0 ? words[word] : words[word] >>> 32 | words[word + 1] << 32;
    }

    /** Returns the number that {@link BackRing#respond} needs of this request: its place in the table of requests in flight, 0 without one. */
    public int entry() {
        return entry;
    }

    void setEntry(int newEntry) {
        entry = newEntry;
    }

    int wordCount() {
        return words.length;
    }

    long word(int index) {
        return words[index];
    }

    /** Loads a slot from a private copy. */
    void loadFrom(ByteBuffer copy, int offset, int newEntry) {
        entry = newEntry;
        for (int i = 0; i < words.length; i++) {
            words[i] = copy.getLong(offset + (i << 3));
        }
    }

    /** Copies the bytes from the start of the slot, as many as the target takes: for tests and for tools that show slots. */
    public void copyTo(byte[] target) {
        for (int i = 0; i < target.length; i++) {
            target[i] = (byte) getUnsignedByte(i);
        }
    }

    /** Returns the operation, 0 to 255. */
    public int operation() {
        return (int) words[0] & 0xff;
    }

    /** Returns the frontend's id, to be echoed. */
    public long id() {
        return getLong(idOffset);
    }

    /** Returns the first sector. */
    public long sectorNumber() {
        return getLong(idOffset + 8);
    }

    /**
     * Copies what a request of its kind needs out of the shared slot, each byte once, word by word. It may read a few bytes past
     * the slot, never past the ring.
     *
     * @param ring little-endian
     */
    void copyFrom(ByteBuffer ring, int slotOffset) {
        // The head is three words in both layouts, and most requests have a fourth: no loop for so few. In x86_32 the
        // head ends inside a word; its
        // second half was copied then, and is not read again.
        long[] target = words;
        target[0] = ring.getLong(slotOffset);
        target[1] = ring.getLong(slotOffset + 8);
        target[2] = ring.getLong(slotOffset + 16);
        int end = headBytes + restBytes() + 7 >>> 3;
        if (end > HEAD_WORDS) {
            target[HEAD_WORDS] = ring.getLong(slotOffset + 24);
            for (int i = HEAD_WORDS + 1; i < end; i++) {
                target[i] = ring.getLong(slotOffset + (i << 3));
            }
        }
    }

    private int restBytes() {
        return switch (operation()) {
            case Blkif.BLKIF_OP_READ,
                    Blkif.BLKIF_OP_WRITE,
                    Blkif.BLKIF_OP_WRITE_BARRIER,
                    Blkif.BLKIF_OP_FLUSH_DISKCACHE ->
                BlkifLayout.SEGMENT_BYTES
                        * Math.min(getUnsignedByte(BlkifLayout.NR_SEGMENTS), Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST);
            case Blkif.BLKIF_OP_DISCARD -> 8;
            case Blkif.BLKIF_OP_INDIRECT -> 4 + 4 * Blkif.BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST;
            default -> 0;
        };
    }
}

package io.blocktap.transport.ring;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * A private copy of one slot, and the layout to read it with. The frontend can not change it any more.
 *
 * <p>One object serves all slots of a ring, one after another: what receives it decodes it before it returns. Threads: the
 * ring's own.
 */
public final class RingSlot {
    private final BlkifLayout layout;
    private final ByteBuffer bytes;

    /** Makes an empty slot. */
    public RingSlot(BlkifLayout layout) {
        this.layout = layout;
        this.bytes = ByteBuffer.allocate(layout.slotBytes() + 7 & -8).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Returns the layout of {@link #bytes()}. */
    public BlkifLayout layout() {
        return layout;
    }

    /** Returns the copy, little-endian; use absolute methods. */
    public ByteBuffer bytes() {
        return bytes;
    }

    /** Returns the operation, 0 to 255. */
    public int operation() {
        return bytes.get(BlkifLayout.OPERATION) & 0xff;
    }

    /** Returns the frontend's id, to be echoed. */
    public long id() {
        return bytes.getLong(layout.id());
    }

    /** Returns the first sector. */
    public long sectorNumber() {
        return bytes.getLong(layout.sectorNumber());
    }

    /**
     * Copies what a request of its kind needs out of the shared slot, each byte once, word by word: for so few bytes a
     * bulk copy costs more than all that follows. It may read a few bytes past the slot, never past the ring.
     */
    void copyFrom(ByteBuffer ring, int slotOffset) {
        int head = layout.segment(0);
        copy(ring, slotOffset, 0, head);
        int rest = switch (operation()) {
            case Blkif.BLKIF_OP_READ,
                    Blkif.BLKIF_OP_WRITE,
                    Blkif.BLKIF_OP_WRITE_BARRIER,
                    Blkif.BLKIF_OP_FLUSH_DISKCACHE ->
                BlkifLayout.SEGMENT_BYTES
                        * Math.min(bytes.get(BlkifLayout.NR_SEGMENTS) & 0xff, Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST);
            case Blkif.BLKIF_OP_DISCARD -> 8;
            case Blkif.BLKIF_OP_INDIRECT -> 4 + 4 * Blkif.BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST;
            default -> 0;
        };
        // In x86_32 the head ends inside a word; its second half was copied already, and is not read again.
        copy(ring, slotOffset, head + 7 & -8, head + rest);
    }

    private void copy(ByteBuffer ring, int slotOffset, int from, int to) {
        for (int i = from; i < to; i += 8) {
            bytes.putLong(i, ring.getLong(slotOffset + i));
        }
    }
}

package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.SegmentList;
import io.blocktap.transport.GuestMemory;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.RingSlot;
import io.netty.buffer.ByteBuf;

/**
 * Checks and takes apart private copies of slots, and of the pages of indirect requests. Its fields describe what was decoded last.
 */
final class SlotDecoder {
    /** Sector numbers from here on would overflow a byte offset. */
    private static final int MAX_SECTOR_BITS = 63 - Blkif.SECTOR_SHIFT;

    private final BlkifLayout layout;
    private final GuestMemory memory;
    private final BlkifFeatures features;
    private long id;
    private int operation;
    private long offsetBytes;
    private int lengthBytes;
    private long discardBytes;
    private int indirectGref;
    private int indirectCount;
    private String complaint = "";

    SlotDecoder(BlkifLayout layout, GuestMemory memory, BlkifFeatures features) {
        this.layout = layout;
        this.memory = memory;
        this.features = features;
    }

    /** Returns the frontend's id of the request. */
    long id() {
        return id;
    }

    /** Returns the operation to be answered: the inner one of an indirect request. */
    int operation() {
        return operation;
    }

    long offsetBytes() {
        return offsetBytes;
    }

    /** Returns the sum of the segments' lengths. */
    int lengthBytes() {
        return lengthBytes;
    }

    long discardBytes() {
        return discardBytes;
    }

    /** Returns how many segments of an indirect request are still to be decoded, 0 for any other. */
    int indirectCount() {
        return indirectCount;
    }

    /** Returns the page that holds them. */
    int indirectGref() {
        return indirectGref;
    }

    /** Returns what was wrong with the slot that was refused last. */
    String complaint() {
        return complaint;
    }

    /**
     * Decodes a slot; of an indirect request the head only ({@link #indirectCount}).
     *
     * @param segments receives the segments
     * @return {@code BLKIF_RSP_OKAY}, or what to answer
     */
    int decode(RingSlot slot, SegmentList segments) {
        id = slot.id();
        operation = slot.operation();
        lengthBytes = 0;
        discardBytes = 0;
        offsetBytes = 0;
        indirectCount = 0;
        return switch (operation) {
            case Blkif.BLKIF_OP_READ, Blkif.BLKIF_OP_WRITE -> direct(slot, segments, 1);
            case Blkif.BLKIF_OP_WRITE_BARRIER, Blkif.BLKIF_OP_FLUSH_DISKCACHE -> direct(slot, segments, 0);
            case Blkif.BLKIF_OP_DISCARD -> discard(slot);
            case Blkif.BLKIF_OP_INDIRECT -> indirect(slot);
            default -> {
                complaint = "unknown operation";
                yield Blkif.BLKIF_RSP_EOPNOTSUPP;
            }
        };
    }

    private int error(String what) {
        complaint = what;
        return Blkif.BLKIF_RSP_ERROR;
    }

    private int direct(RingSlot slot, SegmentList segments, int least) {
        int count = slot.getUnsignedByte(BlkifLayout.NR_SEGMENTS);
        if (count < least || count > Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST) {
            return error("number of segments out of range");
        }
        for (int i = 0; i < count; i++) {
            int status = segment(segments, slot.getLong(layout.segment(i)));
            if (status != Blkif.BLKIF_RSP_OKAY) {
                return status;
            }
        }
        return start(slot.sectorNumber());
    }

    /** Checks one segment, a {@code struct blkif_request_segment} as a little-endian word. */
    private int segment(SegmentList segments, long word) {
        int gref = (int) (word >>> 8 * BlkifLayout.SEGMENT_GREF);
        int first = (int) (word >>> 8 * BlkifLayout.SEGMENT_FIRST_SECT) & 0xff;
        int last = (int) (word >>> 8 * BlkifLayout.SEGMENT_LAST_SECT) & 0xff;
        if (first > last || last >= Blkif.SECTORS_PER_PAGE) {
            return error("segment's sectors out of the page or in the wrong order");
        }
        if (!memory.isValid(gref)) {
            return error("grant reference names no data page");
        }
        segments.add(gref, first, last);
        lengthBytes += last - first + 1 << Blkif.SECTOR_SHIFT;
        return Blkif.BLKIF_RSP_OKAY;
    }

    private int start(long sector) {
        if (lengthBytes > 0 && sector >>> MAX_SECTOR_BITS != 0) {
            return error("sector number out of range");
        }
        offsetBytes = sector << Blkif.SECTOR_SHIFT;
        return Blkif.BLKIF_RSP_OKAY;
    }

    private int discard(RingSlot slot) {
        long sectors = slot.getLong(layout.discardNrSectors());
        long sector = slot.sectorNumber();
        if ((slot.getUnsignedByte(BlkifLayout.DISCARD_FLAG) & Blkif.BLKIF_DISCARD_SECURE) != 0) {
            complaint = "secure discard is not offered";
            return Blkif.BLKIF_RSP_EOPNOTSUPP;
        }
        if (sectors == 0 || sectors >>> MAX_SECTOR_BITS != 0 || sector >>> MAX_SECTOR_BITS != 0) {
            return error("discard of no sectors or out of range");
        }
        offsetBytes = sector << Blkif.SECTOR_SHIFT;
        discardBytes = sectors << Blkif.SECTOR_SHIFT;
        return Blkif.BLKIF_RSP_OKAY;
    }

    /** The head only: its segments lie in a page of the frontend's, which is copied first. */
    private int indirect(RingSlot slot) {
        operation = slot.getUnsignedByte(BlkifLayout.INDIRECT_OP);
        int count = slot.getUnsignedShort(BlkifLayout.INDIRECT_NR_SEGMENTS);
        if (operation != Blkif.BLKIF_OP_READ && operation != Blkif.BLKIF_OP_WRITE) {
            return error("inner operation is neither read nor write");
        }
        if (features.maxIndirectSegments() == 0) {
            complaint = "indirect requests were not offered";
            return Blkif.BLKIF_RSP_EOPNOTSUPP;
        }
        if (count == 0 || count > features.maxIndirectSegments()) {
            return error("number of indirect segments out of range");
        }
        // 256 segments at most: the first page holds them all.
        int gref = slot.getInt(layout.indirectGref(0));
        if (!memory.isValid(gref)) {
            return error("grant reference of the indirect page names no data page");
        }
        if (slot.sectorNumber() >>> MAX_SECTOR_BITS != 0) {
            return error("sector number out of range");
        }
        offsetBytes = slot.sectorNumber() << Blkif.SECTOR_SHIFT;
        indirectGref = gref;
        indirectCount = count;
        return Blkif.BLKIF_RSP_OKAY;
    }

    /**
     * Decodes the segments of an indirect request, whose head was decoded before.
     *
     * @param bytes a private copy of the segments
     * @param segments receives them
     * @return {@code BLKIF_RSP_OKAY}, or what to answer
     */
    int decodeIndirect(ByteBuf bytes, int index, int count, SegmentList segments) {
        lengthBytes = 0;
        for (int i = 0; i < count; i++) {
            int status = segment(segments, bytes.getLongLE(index + i * BlkifLayout.SEGMENT_BYTES));
            if (status != Blkif.BLKIF_RSP_OKAY) {
                return status;
            }
        }
        return Blkif.BLKIF_RSP_OKAY;
    }

    int indirectNotReadable() {
        return error("the indirect page can not be read");
    }

    int pageNotReadable() {
        return error("a page of its data can not be read");
    }

    static int segmentBytes(SegmentList segments, int index) {
        return segments.lastSector(index) - segments.firstSector(index) + 1 << Blkif.SECTOR_SHIFT;
    }

    /** Returns whether the segments follow one another in the memory that the pages' numbers name. */
    static boolean isContiguous(SegmentList segments) {
        int count = segments.count();
        for (int i = 1; i < count; i++) {
            if (segments.gref(i) != segments.gref(i - 1) + 1
                    || segments.firstSector(i) != 0
                    || segments.lastSector(i - 1) != Blkif.SECTORS_PER_PAGE - 1) {
                return false;
            }
        }
        return true;
    }
}

package io.blocktap.transport.ring;

/**
 * Where the fields of a ring and its slots lie, for each ABI of {@code io/protocols.h}.
 *
 * <pre>
 *  ring page:  0        4         8        12         16        64
 *             +--------+---------+--------+----------+---------+-----------+-----------+--
 *             |req_prod|req_event|rsp_prod|rsp_event | private | slot 0    | slot 1    | ...
 *             +--------+---------+--------+----------+---------+-----------+-----------+--
 *
 *  slot, request:   op u8 | nr_segments u8 | handle u16 | (pad, x86_64) | id u64 | sector u64 | seg[11]
 *  slot, discard:   op u8 | flag u8        | handle u16 | (pad, x86_64) | id u64 | sector u64 | nr_sectors u64
 *  slot, indirect:  op u8 | inner op u8    | nr_segs u16| (pad, x86_64) | id u64 | sector u64 | handle u16 | pad | gref[8]
 *  slot, response:  id u64 | op u8 | pad u8 | status s16 | (pad u32, x86_64)
 *  segment:         gref u32 | first_sect u8 | last_sect u8 | pad u16
 * </pre>
 *
 * A u64 is aligned to 8 bytes in {@code x86_64-abi} (and {@code arm-abi}, which has the same layout) and to 4 in
 * {@code x86_32-abi}. All values are little-endian. Offsets in a slot are relative to its start.
 */
public enum BlkifLayout {
    /** {@code x86_64-abi}, and {@code arm-abi}. */
    X86_64(8),
    /** {@code x86_32-abi}: what a frontend that names no ABI means, on x86. */
    X86_32(4);

    /** Offset of the producer index of requests in the ring, written by the frontend. */
    public static final int REQ_PROD = 0;
    /** Offset of the request event index, written by the backend. */
    public static final int REQ_EVENT = REQ_PROD + 4;
    /** Offset of the producer index of responses, written by the backend. */
    public static final int RSP_PROD = REQ_EVENT + 4;
    /** Offset of the response event index, written by the frontend. */
    public static final int RSP_EVENT = RSP_PROD + 4;
    /**
     * Offset of a u64 in the padding between the indexes and the slots, which no frontend uses: the nonce of the table of requests in flight. A frontend that makes
     * a new ring clears it.
     */
    public static final int NONCE = RSP_EVENT + 4 + 32;
    /** Offset of the first slot. */
    public static final int FIRST_SLOT = RSP_EVENT + 4 + 48;

    /** Most pages of one ring. */
    public static final int MAX_RING_PAGES = 16;

    /** Size of a segment. */
    public static final int SEGMENT_BYTES = 8;
    /** Offset in a segment: grant reference, u32. */
    public static final int SEGMENT_GREF = 0;
    /** Offset in a segment: first sector in the page, u8. */
    public static final int SEGMENT_FIRST_SECT = SEGMENT_GREF + 4;
    /** Offset in a segment: last sector in the page, inclusive, u8. */
    public static final int SEGMENT_LAST_SECT = SEGMENT_FIRST_SECT + 1;

    /** Offset in every request: operation, u8. */
    public static final int OPERATION = 0;
    /** Offset in a direct request: number of segments, u8. */
    public static final int NR_SEGMENTS = OPERATION + 1;
    /** Offset in a discard request: flags, u8. */
    public static final int DISCARD_FLAG = OPERATION + 1;
    /** Offset in an indirect request: inner operation, u8. */
    public static final int INDIRECT_OP = OPERATION + 1;
    /** Offset in a direct or discard request: the virtual device's number, u16; not trusted, not needed. */
    public static final int HANDLE = NR_SEGMENTS + 1;
    /** Offset in an indirect request: number of segments, u16. */
    public static final int INDIRECT_NR_SEGMENTS = INDIRECT_OP + 1;

    /** Offset in a response: id, u64. */
    public static final int RESPONSE_ID = 0;
    /** Offset in a response: operation, u8. */
    public static final int RESPONSE_OPERATION = RESPONSE_ID + 8;
    /** Offset in a response: status, s16. */
    public static final int RESPONSE_STATUS = RESPONSE_OPERATION + 2;

    private final int idOffset;
    private final int slotBytes;
    private final int responseBytes;

    BlkifLayout(int longAlignment) {
        this.idOffset = align(HANDLE + 2, longAlignment);
        this.slotBytes = align(idOffset + 16 + Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST * SEGMENT_BYTES, longAlignment);
        this.responseBytes = align(RESPONSE_STATUS + 2, longAlignment);
    }

    private static int align(int offset, int alignment) {
        return (offset + alignment - 1) & -alignment;
    }

    /** Returns the size of a slot in bytes: 112 or 108. */
    public int slotBytes() {
        return slotBytes;
    }

    /** Returns the size of a response with its padding in bytes: 16 or 12. */
    public int responseBytes() {
        return responseBytes;
    }

    /** Returns the offset of the id, u64, the same in every request. */
    public int id() {
        return idOffset;
    }

    /** Returns the offset of the first sector, u64, the same in every request. */
    public int sectorNumber() {
        return idOffset + 8;
    }

    /** Returns the offset of segment {@code index} in a direct request. */
    public int segment(int index) {
        return idOffset + 16 + index * SEGMENT_BYTES;
    }

    /** Returns the offset of the number of sectors, u64, in a discard request. */
    public int discardNrSectors() {
        return idOffset + 16;
    }

    /** Returns the offset of the handle, u16, in an indirect request. */
    public int indirectHandle() {
        return idOffset + 16;
    }

    /** Returns the offset of the grant reference, u32, of indirect page {@code index}. */
    public int indirectGref(int index) {
        return idOffset + 20 + 4 * index;
    }

    /**
     * Returns the number of slots of a ring: the largest power of two that fits.
     *
     * @param pages 1, 2, 4, 8 or 16
     */
    public int slots(int pages) {
        if (pages < 1 || pages > MAX_RING_PAGES || Integer.bitCount(pages) != 1) {
            throw new IllegalArgumentException("ring of " + pages + " pages; it must have 1, 2, 4, 8 or 16");
        }
        return Integer.highestOneBit((pages * Blkif.PAGE_BYTES - FIRST_SLOT) / slotBytes);
    }
}

package io.blocktap.transport.ring;

/**
 * Constants of the Xen block protocol, spelled as in {@code xen/include/public/io/blkif.h}.
 *
 * <p>Every sector in the protocol has 512 bytes, whatever the disk's logical block size is.
 */
public final class Blkif {
    /** Read 1 to 11 segments. */
    public static final int BLKIF_OP_READ = 0;
    /** Write 1 to 11 segments. */
    public static final int BLKIF_OP_WRITE = 1;
    /** Write with everything before it stable before, and itself stable after; may be empty. */
    public static final int BLKIF_OP_WRITE_BARRIER = 2;
    /** Make everything completed so far stable; may carry data, which is written afterwards. */
    public static final int BLKIF_OP_FLUSH_DISKCACHE = 3;
    /** Discard a range of sectors. */
    public static final int BLKIF_OP_DISCARD = 5;
    /** A read or write whose segments lie in granted pages. */
    public static final int BLKIF_OP_INDIRECT = 6;

    /** The request was done. */
    public static final int BLKIF_RSP_OKAY = 0;
    /** The request failed. */
    public static final int BLKIF_RSP_ERROR = -1;
    /** The operation is not supported. */
    public static final int BLKIF_RSP_EOPNOTSUPP = -2;

    /** Most segments in a direct request. */
    public static final int BLKIF_MAX_SEGMENTS_PER_REQUEST = 11;
    /** Most page grants in an indirect request. */
    public static final int BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST = 8;
    /** Discard flag: the old data must not be recoverable. */
    public static final int BLKIF_DISCARD_SECURE = 1;

    /** Bytes in a sector. */
    public static final int SECTOR_BYTES = 512;
    /** Binary logarithm of {@link #SECTOR_BYTES}. */
    public static final int SECTOR_SHIFT = 9;
    /** Bytes in a granted page. */
    public static final int PAGE_BYTES = 4096;
    /** Sectors in a granted page. */
    public static final int SECTORS_PER_PAGE = PAGE_BYTES / SECTOR_BYTES;
    /** Segments that one indirect page can hold. */
    public static final int SEGMENTS_PER_INDIRECT_PAGE = PAGE_BYTES / 8;

    private Blkif() {}
}

package io.blocktap.transport.frontend;

/**
 * What a frontend is told about its disk.
 *
 * @param capacitySectors capacity in 512-byte sectors
 * @param logicalBlockBytes logical block size
 * @param physicalBlockBytes physical block size
 * @param flags a set of {@link #READ_ONLY} and so on
 * @param maxIndirectSegments most segments in one INDIRECT request; 0 if there are none
 * @param discardGranularityBytes smaller discards have no effect; 0 if unknown
 */
public record FrontGeometry(
        long capacitySectors,
        int logicalBlockBytes,
        int physicalBlockBytes,
        int flags,
        int maxIndirectSegments,
        int discardGranularityBytes) {
    /** The disk can not be written. */
    public static final int READ_ONLY = 1;
    /** FLUSH_DISKCACHE is supported. */
    public static final int FLUSH = 2;
    /** DISCARD is supported. */
    public static final int DISCARD = 4;
    /** Seeks cost time. */
    public static final int ROTATIONAL = 8;

    /** Returns whether a flag is set. */
    public boolean has(int flag) {
        return (flags & flag) != 0;
    }
}

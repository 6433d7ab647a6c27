package io.blocktap.pipeline.codec.blkif;

/**
 * What a ring's frontend was offered beside reading and writing; the codec takes no more than that.
 *
 * @param maxIndirectSegments most segments in an INDIRECT request, 0 to 256; 0 if they were not offered
 */
public record BlkifFeatures(int maxIndirectSegments) {
    /** Most segments of an indirect request that the codec takes. */
    public static final int MAX_INDIRECT_SEGMENTS = 256;

    /** Checks the number. */
    public BlkifFeatures {
        if (maxIndirectSegments < 0 || maxIndirectSegments > MAX_INDIRECT_SEGMENTS) {
            throw new IllegalArgumentException(
                    maxIndirectSegments + " indirect segments; 0 to " + MAX_INDIRECT_SEGMENTS);
        }
    }
}

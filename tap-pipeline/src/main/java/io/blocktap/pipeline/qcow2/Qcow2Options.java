package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;

/**
 * How an image is opened.
 *
 * @param isReadOnly nothing is written
 * @param l2CacheBytes how much of the map is kept in memory
 * @param limitBytes how large the file may become; -1 without a limit
 */
public record Qcow2Options(boolean isReadOnly, long l2CacheBytes, long limitBytes) {
    /** How much of the map is kept in memory by tools. */
    public static final long DEFAULT_L2_CACHE_BYTES = 16 << 20;

    private static final long LEAST_L2_CACHE_BYTES = 64 << 10;
    private static final long MOST_L2_CACHE_BYTES = 1 << 30;

    /** The stages' option for the part of the map in memory. */
    public static final OptionSpec L2_CACHE = OptionSpec.optional(
                    "l2-cache", OptionType.SIZE, "memory for the map; 16M are enough for 128G in clusters of 64K")
            .withDefault("16M");

    /**
     * Returns the value of {@link #L2_CACHE} in bytes.
     *
     * @throws StageException if it can not be that
     */
    public static long l2CacheBytes(OptionValues values) throws StageException {
        long bytes = values.sizeBytes("l2-cache");
        if (bytes < LEAST_L2_CACHE_BYTES || bytes > MOST_L2_CACHE_BYTES) {
            throw new StageException("l2-cache is " + bytes + " bytes; 64K to 1G are possible");
        }
        return bytes;
    }
}

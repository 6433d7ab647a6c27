package io.blocktap.pipeline.qcow2;

/**
 * How an image is opened.
 *
 * @param isReadOnly nothing is written
 * @param l2CacheBytes how much of the map is kept in memory
 * @param limitBytes how large the file may become; -1 without a limit
 */
public record Qcow2Options(boolean isReadOnly, long l2CacheBytes, long limitBytes) {
    /** What is kept of the map in memory if nothing else is said: enough for 128 GiB in clusters of 64 KiB. */
    public static final long DEFAULT_L2_CACHE_BYTES = 16 << 20;
}

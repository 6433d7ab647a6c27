package io.blocktap.pipeline.qcow2;

/**
 * A range of a disk of which an image has the same kind of thing.
 *
 * @param kind what it has
 * @param endBytes where the range ends; it may go on as the same behind
 */
public record Extent(Kind kind, long endBytes) {
    /** What an image has of a range. */
    public enum Kind {
        /** That part of the map is not in memory; reading there brings it. */
        UNKNOWN,
        /** Nothing: what is below shows through. */
        BELOW,
        /** Zeroes. */
        ZERO,
        /** Data. */
        DATA
    }
}

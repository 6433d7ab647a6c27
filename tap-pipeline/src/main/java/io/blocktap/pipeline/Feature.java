package io.blocktap.pipeline;

/** What a disk is or can do, beyond reading and writing. */
public enum Feature {
    /** The disk can not be written. */
    READ_ONLY,
    /** Seeks cost time. */
    ROTATIONAL,
    /** FLUSH is supported, and means stable storage. */
    FLUSH,
    /** The FUA flag on writes is supported: answered only when stable. */
    FUA,
    /** DISCARD is supported. */
    DISCARD,
    /** WRITE_ZEROES is supported. */
    WRITE_ZEROES,
    /** WRITE_ZEROES with {@link BlockRequest#FAST_ONLY} is honoured: it fails rather than write slowly. */
    FAST_ZERO,
    /** A FLUSH on one connection covers writes answered on all others, and all see the same data. */
    MULTI_CONNECTION
}

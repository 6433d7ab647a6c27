package io.blocktap.pipeline;

/** How a request ended. Each tap maps these to its own protocol's numbers, in one table. */
public enum BlockStatus {
    /** Done; for FLUSH and FUA this means: on stable storage. */
    OK,
    /** The storage failed. */
    IO_ERROR,
    /** The disk does not know this operation. Never answered as an I/O error: guests switch the feature off then. */
    UNSUPPORTED,
    /** No room is left on the storage. */
    NO_SPACE,
    /** A write to a disk that can only be read. */
    READ_ONLY,
    /** The range does not lie on the disk. */
    OUT_OF_RANGE,
    /** The request contradicts the protocol or the disk's block size. */
    INVALID,
    /** The server is going down and takes no more requests. */
    SHUTDOWN
}

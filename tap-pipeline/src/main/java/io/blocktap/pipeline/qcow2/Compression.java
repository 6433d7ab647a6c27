package io.blocktap.pipeline.qcow2;

/** How an image's compressed clusters are compressed. */
public enum Compression {
    /** Raw deflate streams. */
    ZLIB,
    /** Zstandard frames. */
    ZSTD
}

package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import java.nio.ByteBuffer;

/** What an image's header and tables can be read from, by threads that may wait. */
public interface ImageSource extends AutoCloseable {
    /** Returns the name for messages: the path. */
    String name();

    /** Returns the size in bytes at this moment. */
    long sizeBytes();

    /** Fills a direct buffer from its position to its limit; the position may stay. With zeroes behind the end. */
    BlockStatus read(ByteBuffer into, long offsetBytes);

    @Override
    void close();
}

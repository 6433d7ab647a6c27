package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockRequest;

/** What an image shows where it has nothing of its own. Any event loop. */
public interface Backing {
    /** Returns its size in bytes; what lies behind it reads as zeroes. */
    long sizeBytes();

    /**
     * Sends a READ within the size.
     *
     * @param request made by {@link io.blocktap.pipeline.RequestStream#newRequestBelow}, not yet sent
     */
    void read(BlockRequest request);

    /** Returns whether it is the next stage of the chain: then a request of which nothing is in the image can go on as it is. */
    boolean isNextStage();
}

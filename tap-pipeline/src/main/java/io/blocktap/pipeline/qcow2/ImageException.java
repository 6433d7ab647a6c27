package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;

/** Work on an image's tables could not be done; requests that need it end with the status. The storage, or whoever found it out, has logged why. */
final class ImageException extends Exception {
    private static final long serialVersionUID = 1L;

    private final BlockStatus status;

    ImageException(BlockStatus status) {
        super(status.name(), null, false, false);
        this.status = status;
    }

    BlockStatus status() {
        return status;
    }

    static void check(BlockStatus status) throws ImageException {
        if (status != BlockStatus.OK) {
            throw new ImageException(status);
        }
    }
}

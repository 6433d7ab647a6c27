package io.blocktap.interposer.cow;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.qcow2.Backing;

/**
 * The chain below as what an overlay is based on.
 *
 * @param sizeBytes its size when the overlay was opened
 */
record StageBelow(long sizeBytes) implements Backing {
    @Override
    public void read(BlockRequest request) {
        request.stream().submitBelow(request);
    }

    @Override
    public boolean isNextStage() {
        return true;
    }
}

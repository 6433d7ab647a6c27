package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.RequestHook;

/**
 * What is below an image, if that is another image of the same terminator.
 *
 * @param hook answers its READs
 * @param sizeBytes its size
 */
record ImageBacking(RequestHook hook, long sizeBytes) implements Backing {
    @Override
    public void read(BlockRequest request) {
        request.stream().submitTo(hook, request);
    }

    @Override
    public boolean isNextStage() {
        return false;
    }
}

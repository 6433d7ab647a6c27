package io.blocktap.terminator.nulldisk;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.Verdict;
import org.jspecify.annotations.Nullable;

/** A disk that reads as zeroes and forgets what is written. Answers at once. */
public final class NullTerminator implements Stage, RequestHook {
    private final NullConfig config;

    /** Makes the terminator. */
    public NullTerminator(NullConfig config) {
        this.config = config;
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) {
        return Geometry.ofSize(
                config.sizeBytes(),
                Feature.FLUSH,
                Feature.FUA,
                Feature.DISCARD,
                Feature.WRITE_ZEROES,
                Feature.FAST_ZERO,
                Feature.MULTI_CONNECTION);
    }

    @Override
    public Sharing sharing() {
        return Sharing.THREAD_SAFE;
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        if (request.op() == BlockOp.READ) {
            request.data().setZero(0, request.dataLength());
        }
        return request.respond(BlockStatus.OK);
    }

    @Override
    public void close() {
        // nothing was opened
    }
}

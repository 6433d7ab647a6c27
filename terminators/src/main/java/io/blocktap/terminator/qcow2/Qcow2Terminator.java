package io.blocktap.terminator.qcow2;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.ImageStage;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.qcow2.Qcow2Chain;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A qcow2 image and what it is based on.
 *
 * <p>Threads: hooks on any number of loops.
 */
final class Qcow2Terminator implements Stage, RequestHook, ImageStage {
    private final Qcow2Config config;
    private @Nullable Qcow2Chain chain;

    Qcow2Terminator(Qcow2Config config) {
        this.config = config;
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) throws StageException {
        boolean isReadOnly = config.isReadOnly() || context.isReadOnly();
        try {
            chain = Qcow2Chain.open(config.file(), isReadOnly, config.io(), context.workers(), config.l2CacheBytes());
        } catch (StageException e) {
            throw new StageException(context.label() + ": " + e.getMessage(), e);
        }
        return chain.engine().geometry(1);
    }

    @Override
    public Path imageFile() {
        return config.file();
    }

    @Override
    public String imageFormat() {
        return "qcow2";
    }

    @Override
    public Sharing sharing() {
        return Sharing.THREAD_SAFE;
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        return Objects.requireNonNull(chain).start(request);
    }

    @Override
    public void close() throws StageException {
        Objects.requireNonNull(chain).close();
    }
}

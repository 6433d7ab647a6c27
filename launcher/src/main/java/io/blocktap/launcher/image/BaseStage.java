package io.blocktap.launcher.image;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.pipeline.file.FileEngine;
import io.blocktap.pipeline.qcow2.Qcow2Chain;
import io.blocktap.pipeline.qcow2.Qcow2Options;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** The image below an overlay, raw or qcow2, opened for writing. Hooks on any number of loops. */
final class BaseStage implements Stage, RequestHook {
    private final Path file;
    private final boolean isQcow2;
    private @Nullable FileEngine raw;
    private @Nullable Qcow2Chain qcow2;

    BaseStage(Path file, boolean isQcow2) {
        this.file = file;
        this.isQcow2 = isQcow2;
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) throws StageException {
        if (isQcow2) {
            Qcow2Chain chain = Qcow2Chain.open(
                    file, false, FileEngine.Io.AUTO, context.workers(), Qcow2Options.DEFAULT_L2_CACHE_BYTES);
            qcow2 = chain;
            return chain.engine().geometry(1);
        }
        BlockFile open = BlockFile.open(file, BlockFile.Access.READ_WRITE, BlockFile.Caching.CACHED, -1);
        try {
            raw = new FileEngine(open, FileEngine.Io.AUTO, context.workers());
        } catch (StageException e) {
            open.close();
            throw e;
        }
        return Geometry.ofSize(open.sizeBytes(), Feature.FLUSH, Feature.WRITE_ZEROES);
    }

    @Override
    public Sharing sharing() {
        return Sharing.THREAD_SAFE;
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        if (qcow2 != null) {
            return qcow2.start(request);
        }
        if (raw != null) {
            return raw.start(request);
        }
        throw new IllegalStateException("not open");
    }

    @Override
    public void close() throws StageException {
        if (qcow2 != null) {
            qcow2.close();
        } else if (raw != null) {
            raw.close();
        }
    }
}

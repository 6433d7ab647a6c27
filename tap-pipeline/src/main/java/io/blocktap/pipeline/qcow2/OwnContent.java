package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.pipeline.file.FileEngine;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * An image as a terminator that shows what it has itself: where it has nothing it reads as zeroes, and what is discarded it has no more.
 *
 * <p>For tools that take an image apart; a disk whose image is based on another one is shown by {@link Qcow2Chain}. Threads: hooks on any number of loops.
 */
public final class OwnContent implements Stage, RequestHook {
    private final Path file;
    private @Nullable Qcow2Engine engine;

    /** Makes the stage; nothing is opened yet. */
    public OwnContent(Path file) {
        this.file = file;
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) throws StageException {
        BlockFile open = BlockFile.open(
                file, BlockFile.Access.READ_WRITE, BlockFile.Caching.CACHED, -1, BlockFile.PastEnd.ZEROES);
        FileStorage storage;
        try {
            storage = new FileStorage(file.toString(), open, FileEngine.Io.AUTO, context.workers());
        } catch (StageException e) {
            open.close();
            throw e;
        }
        try {
            Qcow2Header header = Qcow2Header.read(storage);
            header.requireUsable(storage.name(), true);
            Qcow2Engine opened = Qcow2Engine.open(
                    storage,
                    header,
                    null,
                    context.workers(),
                    new Qcow2Options(false, Qcow2Options.DEFAULT_L2_CACHE_BYTES, -1));
            engine = opened;
            return opened.geometry(1);
        } finally {
            if (engine == null) {
                storage.close();
            }
        }
    }

    /** Returns the open image. */
    public Qcow2Engine engine() {
        return Objects.requireNonNull(engine);
    }

    @Override
    public Sharing sharing() {
        return Sharing.THREAD_SAFE;
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        return engine().start(request);
    }

    @Override
    public void close() throws StageException {
        engine().close();
    }
}

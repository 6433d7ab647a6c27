package io.blocktap.interposer.cow;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.ImageStage;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.qcow2.Qcow2Engine;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Keeps what is written in a qcow2 overlay, and reads from it what was written and from below what was not (blkcow of 2005).
 *
 * <p>Threads: hooks on any number of loops.
 */
final class CowInterposer implements Stage, RequestHook, ImageStage {
    private final CowConfig config;
    private @Nullable Qcow2Engine engine;

    CowInterposer(CowConfig config) {
        this.config = config;
    }

    @Override
    public boolean onlyReadsBelow() {
        return true;
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) throws StageException {
        Geometry base = Objects.requireNonNull(below, "cow is no terminator");
        try {
            Qcow2Engine opened = new OverlayOpener(config, context, base).open();
            engine = opened;
            return opened.geometry(base.minimumIoBytes());
        } catch (StageException e) {
            throw new StageException(context.label() + ": " + e.getMessage(), e);
        }
    }

    @Override
    public long belowResized(Geometry own, Geometry belowWas, Geometry below) {
        return own.sizeBytes(); // the overlay's size is in its file
    }

    @Override
    public @Nullable Path imageFile() {
        return config.isInMemory() ? null : config.overlay();
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
        return Objects.requireNonNull(engine).start(request);
    }

    @Override
    public void close() throws StageException {
        Objects.requireNonNull(engine).close();
    }
}

package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** An engine over any storage as a terminator. */
final class EngineStage implements Stage, RequestHook {
    private final ImageStorage storage;
    private final @Nullable SparseBytes base;
    private final long l2CacheBytes;
    private final long limitBytes;
    private @Nullable Qcow2Engine engine;

    EngineStage(ImageStorage storage, @Nullable SparseBytes base, long l2CacheBytes, long limitBytes) {
        this.storage = storage;
        this.base = base;
        this.l2CacheBytes = l2CacheBytes;
        this.limitBytes = limitBytes;
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) throws StageException {
        Backing backing = base == null ? null : new ImageBacking(request -> readBase(request, base), base.size());
        Qcow2Header header = Qcow2Header.read(storage);
        header.requireUsable(storage.name(), true);
        Qcow2Engine opened = Qcow2Engine.open(
                storage, header, backing, context.workers(), new Qcow2Options(false, l2CacheBytes, limitBytes));
        engine = opened;
        return opened.geometry(1);
    }

    private static Verdict readBase(BlockRequest request, SparseBytes base) {
        request.data().setBytes(0, base.read(request.offsetBytes(), request.dataLength()));
        return request.respond(BlockStatus.OK);
    }

    /** Returns whether the engine looks for free clusters. */
    boolean isSearching() {
        return Objects.requireNonNull(engine).isSearching();
    }

    /** Returns how many host clusters can be had again. */
    long freeClusters() {
        return Objects.requireNonNull(engine).map().freeClusters();
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

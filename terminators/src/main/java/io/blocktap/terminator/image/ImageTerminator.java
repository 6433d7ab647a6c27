package io.blocktap.terminator.image;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.pipeline.file.BlockFile;
import java.util.EnumSet;
import org.jspecify.annotations.Nullable;

/**
 * A raw file or block device (blkimg of 2005, and the blkaio that never worked).
 *
 * <p>Nothing that may wait runs on an event loop: reads are tried without waiting, and answered at once if the page cache has all of it; the rest of them, writes,
 * flushes, discards and zeroes go to the workers or, as configured, reads and writes to io_uring.
 *
 * <p>Threads: hooks on any number of loops; work on worker threads.
 */
final class ImageTerminator implements Stage, RequestHook {
    private final ImageConfig config;
    private final WorkerPool.Work work = this::perform;
    private @Nullable ImageIo io;
    private @Nullable WorkerPool workers;

    ImageTerminator(ImageConfig config) {
        this.config = config;
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) throws StageException {
        BlockFile file = BlockFile.open(config.file(), config.access(), config.caching(), config.createBytes());
        try {
            workers = context.workers();
            io = new ImageIo(file, config, context.workers(), work);
            return geometry(file);
        } catch (StageException e) {
            file.close();
            throw e;
        }
    }

    private Geometry geometry(BlockFile file) {
        EnumSet<Feature> features = EnumSet.of(Feature.MULTI_CONNECTION);
        if (config.access() == BlockFile.Access.READ_ONLY) {
            features.add(Feature.READ_ONLY);
        } else {
            features.addAll(EnumSet.of(Feature.FLUSH, Feature.FUA, Feature.WRITE_ZEROES, Feature.FAST_ZERO));
            if (config.discard() == ImageConfig.Discard.PUNCH) {
                features.add(Feature.DISCARD);
            }
        }
        int alignment = config.caching() == BlockFile.Caching.DIRECT ? 4096 : 1;
        return new Geometry(file.sizeBytes(), 1, 512, 4096, 4096, alignment, features);
    }

    @Override
    public Sharing sharing() {
        return Sharing.THREAD_SAFE;
    }

    private ImageIo io() {
        return java.util.Objects.requireNonNull(io);
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        ImageIo current = io();
        // Interposers may have moved the request: the tap's check does not count for us.
        if (request.op() != BlockOp.FLUSH && request.offsetBytes() > current.sizeBytes() - request.lengthBytes()) {
            return request.respond(BlockStatus.OUT_OF_RANGE);
        }
        if (request.op() == BlockOp.READ && current.readCached(request)) {
            return request.respond(BlockStatus.OK);
        }
        if (request.op().hasData() && current.submitToUring(request)) {
            return Verdict.STOLEN;
        }
        java.util.Objects.requireNonNull(workers).submit(request, work);
        return Verdict.STOLEN;
    }

    /** On a worker thread. */
    private BlockStatus perform(BlockRequest request) {
        return switch (request.op()) {
            case READ -> io().read(request);
            case WRITE -> io().write(request);
            case FLUSH -> io().file().sync();
            case DISCARD -> io().file().discard(request.offsetBytes(), request.lengthBytes());
            case WRITE_ZEROES -> io().zero(request);
        };
    }

    @Override
    public void close() {
        io().close();
    }
}

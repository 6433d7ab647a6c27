package io.blocktap.terminator.image;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.ImageStage;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.pipeline.file.FileEngine;
import io.blocktap.pipeline.qcow2.Qcow2Header;
import io.blocktap.transport.sys.Libc;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A raw file or block device (blkimg of 2005, and the blkaio that never worked). Byte N of the disk is byte N of the file; how it gets there is {@link FileEngine}'s. If the file grows, so does
 * the disk, unless {@code size=} has said how large it is.
 *
 * <p>Threads: hooks on any number of loops.
 */
final class ImageTerminator implements Stage, RequestHook, ImageStage {
    private static final Logger LOG = LoggerFactory.getLogger(ImageTerminator.class);
    private static final int PHYSICAL_BLOCK_BYTES = 4096;

    private final ImageConfig config;
    private BlockFile.Access access;
    private @Nullable FileEngine engine;
    private @Nullable GrowthWatch growth;
    /** Grows while requests come, on a worker. */
    private volatile long sizeBytes;

    ImageTerminator(ImageConfig config) {
        this.config = config;
        this.access = config.access();
    }

    @Override
    public Path imageFile() {
        return config.file();
    }

    @Override
    public String imageFormat() {
        return "raw";
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) throws StageException {
        BlockFile file;
        try {
            access = context.isReadOnly() ? BlockFile.Access.READ_ONLY : config.access();
            file = BlockFile.open(config.file(), access, config.caching(), config.createBytes());
        } catch (StageException e) {
            throw new StageException(context.label() + ": " + e.getMessage(), e);
        }
        try {
            engine = new FileEngine(file, config.io(), context.workers());
            sizeBytes = file.sizeBytes();
            Geometry geometry = geometry(file);
            warnOfQcow2(context, file);
            if (config.createBytes() < 0) {
                growth = new GrowthWatch(context, file, bytes -> sizeBytes = bytes, GrowthWatch.PERIOD_MILLIS);
            }
            return geometry;
        } catch (StageException e) {
            file.close();
            throw new StageException(context.label() + ": " + e.getMessage(), e);
        }
    }

    /** It may be meant: a guest may keep an image on its raw disk. So the content decides nothing. */
    private void warnOfQcow2(StageContext context, BlockFile file) {
        ByteBuffer start = ByteBuffer.allocateDirect(Integer.BYTES);
        if (file.sizeBytes() >= Integer.BYTES
                && file.read(file.cachedFd(), Libc.addressOf(start), Integer.BYTES, 0) == BlockStatus.OK
                && Qcow2Header.isQcow2(start)) {
            LOG.warn(
                    "[{}] {} begins as a qcow2 image does, and its bytes are served as they are; the disk in it is served by qcow2:{}",
                    context.label(),
                    config.file(),
                    config.file());
        }
    }

    private Geometry geometry(BlockFile file) {
        EnumSet<Feature> features = EnumSet.of(Feature.MULTI_CONNECTION);
        if (access == BlockFile.Access.READ_ONLY) {
            features.add(Feature.READ_ONLY);
        } else {
            features.addAll(EnumSet.of(Feature.FLUSH, Feature.FUA, Feature.WRITE_ZEROES, Feature.FAST_ZERO));
            if (config.discard() == ImageConfig.Discard.PUNCH) {
                features.add(Feature.DISCARD);
            }
        }
        boolean isDirect = config.caching() == BlockFile.Caching.DIRECT;
        // A device's sectors are told as they are; a file is served to the byte, whatever lies below it.
        int logical = file.isDevice() ? file.sectorBytes() : 512;
        return new Geometry(
                file.sizeBytes(),
                1,
                logical,
                Math.max(logical, PHYSICAL_BLOCK_BYTES),
                PHYSICAL_BLOCK_BYTES,
                isDirect ? file.sectorBytes() : 1,
                features);
    }

    @Override
    public Sharing sharing() {
        return Sharing.THREAD_SAFE;
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        // Interposers may have moved the request: the tap's check does not count for us.
        if (request.op() != BlockOp.FLUSH && request.offsetBytes() > sizeBytes - request.lengthBytes()) {
            return request.respond(BlockStatus.OUT_OF_RANGE);
        }
        return Objects.requireNonNull(engine).start(request);
    }

    @Override
    public void close() {
        if (growth != null) {
            growth.close();
        }
        Objects.requireNonNull(engine).close();
    }
}

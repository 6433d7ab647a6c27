package io.blocktap.interposer.cow;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.ImageStage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.pipeline.qcow2.BackingName;
import io.blocktap.pipeline.qcow2.FileStorage;
import io.blocktap.pipeline.qcow2.Qcow2Engine;
import io.blocktap.pipeline.qcow2.Qcow2Format;
import io.blocktap.pipeline.qcow2.Qcow2Header;
import io.blocktap.pipeline.qcow2.Qcow2Options;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Opens an overlay for what is below, and makes it if there is none. Used once, on a thread that may wait. */
final class OverlayOpener {
    private static final Logger LOG = LoggerFactory.getLogger(OverlayOpener.class);
    private static final int SECTOR_BYTES = 512;
    private static final AtomicLong DRAFTS = new AtomicLong();

    private final CowConfig config;
    private final StageContext context;
    private final Geometry base;
    private final @Nullable Path baseFile;
    private final @Nullable String baseFormat;

    OverlayOpener(CowConfig config, StageContext context, Geometry base) {
        this.config = config;
        this.context = context;
        this.base = base;
        if (context.below() instanceof ImageStage image && image.imageFile() != null) {
            baseFile = image.imageFile();
            baseFormat = image.imageFormat();
        } else {
            baseFile = null;
            baseFormat = null;
        }
    }

    Qcow2Engine open() throws StageException {
        if (base.sizeBytes() % SECTOR_BYTES != 0) {
            throw new StageException(
                    "what is below has " + base.sizeBytes() + " bytes, and a qcow2 image is of whole sectors of "
                            + SECTOR_BYTES + "; make it longer: truncate -s %512 FILE");
        }
        if (!config.isInMemory()) {
            requireAnotherFile();
        }
        FileStorage storage = config.isInMemory() ? inMemory() : inFile();
        boolean isOpen = false;
        try {
            requireQcow2(storage);
            Qcow2Header header = Qcow2Header.read(storage);
            header.requireUsable(storage.name(), true);
            check(header, storage.name());
            Qcow2Engine engine = Qcow2Engine.open(
                    storage,
                    header,
                    new StageBelow(base.sizeBytes()),
                    context.workers(),
                    new Qcow2Options(false, config.l2CacheBytes(), config.limitBytes()));
            isOpen = true;
            return engine;
        } finally {
            if (!isOpen) {
                storage.close();
            }
        }
    }

    /** Else it would be said to be in use, which it is: by what is below. */
    private void requireAnotherFile() throws StageException {
        Path below = baseFile;
        try {
            if (below != null && Files.exists(config.overlay()) && Files.isSameFile(config.overlay(), below)) {
                throw new StageException(
                        config.overlay() + " can not be the overlay of itself; name another file, which will be made");
            }
        } catch (IOException e) {
            LOG.debug("{} can not be compared with {}", config.overlay(), below, e);
        }
    }

    private static void requireQcow2(FileStorage storage) throws StageException {
        ByteBuffer start = ByteBuffer.allocateDirect(Integer.BYTES);
        if (storage.read(start, 0) == BlockStatus.OK && !Qcow2Header.isQcow2(start.clear())) {
            throw new StageException(storage.name()
                    + " is not a qcow2 image, and so no overlay; give a name that does not exist, and it is made");
        }
    }

    // ---- what there is

    private void check(Qcow2Header header, String name) throws StageException {
        if (header.sizeBytes() != base.sizeBytes()) {
            throw new StageException(
                    name + " is an overlay for a disk of " + header.sizeBytes() + " bytes, what is below has "
                            + base.sizeBytes() + "; give the base that it was made for"
                            + (header.sizeBytes() < base.sizeBytes()
                                    ? ", or, if that has grown: qemu-img resize " + name + " " + base.sizeBytes()
                                    : ", or a new overlay"));
        }
        if (1 << header.clusterBits() < base.minimumIoBytes()) {
            throw new StageException(name + " has clusters of " + (1 << header.clusterBits())
                    + " bytes, what is below takes no less than " + base.minimumIoBytes()
                    + "; make a new one with cluster-size=" + base.minimumIoBytes() + " or more");
        }
        if (config.clusterBits() >= 0 && config.clusterBits() != header.clusterBits()) {
            throw new StageException(name + " exists with clusters of " + (1 << header.clusterBits())
                    + " bytes, cluster-size= says " + (1 << config.clusterBits()) + "; leave cluster-size= out");
        }
        if (!config.isInMemory()) {
            checkBacking(header.backingFile(), name);
        }
    }

    /** What others see in the overlay by its backing file is to be what is seen here. */
    private void checkBacking(@Nullable String recorded, String name) throws StageException {
        Path below = baseFile;
        if (below == null) {
            if (recorded != null) {
                throw new StageException(name + " has the backing file " + recorded
                        + ", and what is below is not a file; if it belongs to it all the same: qemu-img rebase -u -b '' "
                        + name);
            }
            return;
        }
        String rebase =
                "qemu-img rebase -u -b " + BackingName.of(config.overlay(), below) + " -F " + baseFormat + " " + name;
        if (recorded == null) {
            throw new StageException(
                    name + " has no backing file, and " + below + " is below; if it belongs to it: " + rebase);
        }
        try {
            if (Files.isSameFile(BackingName.resolve(config.overlay(), recorded), below)) {
                return;
            }
        } catch (IOException e) {
            LOG.debug("{} can not be compared with {}", recorded, below, e);
        }
        throw new StageException(name + " has the backing file " + recorded + ", and " + below
                + " is below; serve it with that one, or, if they are the same: " + rebase);
    }

    private FileStorage inFile() throws StageException {
        if (!Files.exists(config.overlay(), LinkOption.NOFOLLOW_LINKS)) {
            make(config.overlay());
        } else if (Files.isRegularFile(config.overlay()) && !Files.isWritable(config.overlay())) {
            throw new StageException(config.overlay()
                    + " may not be written, and an overlay must be; check its owner, its mode and its file system, or only read it: qcow2:"
                    + config.overlay() + ",read-only");
        }
        BlockFile file = open(config.overlay(), -1);
        if (file.isDevice()) {
            file.close();
            throw new StageException(config.overlay() + " is a device; an overlay is a file");
        }
        return storage(config.overlay().toString(), file);
    }

    private static BlockFile open(Path path, long createBytes) throws StageException {
        return BlockFile.open(
                path, BlockFile.Access.READ_WRITE, BlockFile.Caching.CACHED, createBytes, BlockFile.PastEnd.ZEROES);
    }

    private FileStorage storage(String name, BlockFile file) throws StageException {
        try {
            return new FileStorage(name, file, config.io(), context.workers());
        } catch (StageException e) {
            file.close();
            throw e;
        }
    }

    // ---- what there is not

    /** Makes the overlay beside its place first: what stands there is never half of one. */
    private void make(Path overlay) throws StageException {
        Path whole = overlay.toAbsolutePath();
        Path directory = whole.getParent();
        if (directory == null || !Files.isDirectory(directory)) {
            throw new StageException(overlay + ": the directory does not exist");
        }
        if (!Files.isWritable(directory)) {
            throw new StageException(
                    overlay + " does not exist, and can not be made: " + directory + " may not be written");
        }
        // Not by the overlay's name, which may be as long as names can be.
        Path draft = directory.resolve(
                ".blocktap-" + ProcessHandle.current().pid() + "-" + DRAFTS.incrementAndGet() + ".new");
        try {
            Files.deleteIfExists(draft); // of a killed process that had the same number
            FileStorage storage = storage(overlay.toString(), open(draft, SECTOR_BYTES));
            try {
                format(storage, baseFile == null ? null : BackingName.of(overlay, baseFile));
            } finally {
                storage.close();
            }
            putInPlace(draft, whole);
            sync(directory);
        } catch (IOException e) {
            throw new StageException(overlay + " could not be made: " + e.getMessage(), e);
        } finally {
            try {
                Files.deleteIfExists(draft);
            } catch (IOException e) {
                LOG.warn("{} can not be removed: {}", draft, e.toString());
            }
        }
        LOG.info("[{}] made {}, {} bytes", context.label(), overlay, base.sizeBytes());
        if (baseFile == null) {
            LOG.warn(
                    "[{}] {} names no backing file, since what is below is none: where nothing was written, other programs see zeroes in it",
                    context.label(),
                    overlay);
        }
    }

    private static void putInPlace(Path draft, Path overlay) throws IOException {
        try {
            Files.createLink(overlay, draft); // fails if somebody has made it meanwhile
        } catch (UnsupportedOperationException e) {
            Files.move(draft, overlay);
        } catch (FileAlreadyExistsException e) {
            throw e;
        } catch (IOException e) {
            Files.move(draft, overlay); // a file system without links
        }
    }

    private static void sync(Path directory) throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    private void format(FileStorage storage, @Nullable String backingName) throws StageException {
        int bits = config.newClusterBits();
        while (config.clusterBits() < 0 && 1 << bits < base.minimumIoBytes()) {
            bits++;
        }
        Qcow2Format.create(storage, base.sizeBytes(), bits, backingName, backingName == null ? null : baseFormat);
    }

    private FileStorage inMemory() throws StageException {
        try (Fd fd = Libc.growingMemoryFile("blocktap-cow")) {
            FileStorage storage = storage(context.label(), open(Path.of("/proc/self/fd/" + fd.number()), -1));
            boolean isMade = false;
            try {
                format(storage, null);
                isMade = true;
                return storage;
            } finally {
                if (!isMade) {
                    storage.close();
                }
            }
        } catch (NativeException e) {
            throw new StageException("no file in memory can be made: " + e.getMessage(), e);
        }
    }
}

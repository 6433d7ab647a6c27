package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.pipeline.file.FileEngine;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** A qcow2 image with all that it is based on. Any event loop. */
public final class Qcow2Chain implements AutoCloseable {
    private static final int DEEPEST = 200;

    private final FileEngine.Io io;
    private final WorkerPool workers;
    private final long l2CacheBytes;
    private final Set<Path> seen = new HashSet<>();
    /** From the top down; closed in that order. */
    private final List<AutoCloseable> opened = new ArrayList<>();

    private @Nullable Qcow2Engine top;

    private Qcow2Chain(FileEngine.Io io, WorkerPool workers, long l2CacheBytes) {
        this.io = io;
        this.workers = workers;
        this.l2CacheBytes = l2CacheBytes;
    }

    /**
     * Opens an image and, for reading, what is below it.
     *
     * @param l2CacheBytes how much is kept in memory of each image's map
     * @throws StageException in words for the user
     */
    public static Qcow2Chain open(
            Path file, boolean isReadOnly, FileEngine.Io io, WorkerPool workers, long l2CacheBytes)
            throws StageException {
        Qcow2Chain chain = new Qcow2Chain(io, workers, l2CacheBytes);
        try {
            chain.top = chain.openImage(file, isReadOnly);
            return chain;
        } catch (Throwable t) {
            try {
                chain.close();
            } catch (StageException e) {
                t.addSuppressed(e);
            }
            throw t;
        }
    }

    private Qcow2Engine openImage(Path path, boolean isReadOnly) throws StageException {
        return openImage(path, openFile(path, isReadOnly), isReadOnly);
    }

    private Qcow2Engine openImage(Path path, ImageStorage storage, boolean isReadOnly) throws StageException {
        boolean isOpen = false;
        try {
            Qcow2Header header = Qcow2Header.read(storage);
            header.requireUsable(storage.name(), !isReadOnly);
            Backing backing = openBacking(path, header);
            Qcow2Engine engine =
                    Qcow2Engine.open(storage, header, backing, workers, new Qcow2Options(isReadOnly, l2CacheBytes, -1));
            isOpen = true;
            opened.add(0, engine);
            return engine;
        } finally {
            if (!isOpen) {
                storage.close();
            }
        }
    }

    private FileStorage openFile(Path path, boolean isReadOnly) throws StageException {
        Path real;
        try {
            real = path.toRealPath();
        } catch (IOException e) {
            throw new StageException(path + " does not exist, or may not be reached", e);
        }
        if (!seen.add(real)) {
            throw new StageException(path + " is based on itself; qemu-img rebase -u gives it another backing file");
        }
        if (seen.size() > DEEPEST) {
            throw new StageException(path + " is the end of a chain of more than " + DEEPEST
                    + " images; qemu-img rebase or commit makes it shorter");
        }
        BlockFile file = BlockFile.open(
                path,
                isReadOnly ? BlockFile.Access.READ_ONLY : BlockFile.Access.READ_WRITE,
                BlockFile.Caching.CACHED,
                -1,
                BlockFile.PastEnd.ZEROES);
        try {
            if (file.isDevice() && !isReadOnly) {
                throw new StageException(
                        path
                                + " is a device, and a qcow2 image on a device can not grow here; use read-only, or put it into a file");
            }
            return new FileStorage(path.toString(), file, io, workers);
        } catch (StageException e) {
            file.close();
            throw e;
        }
    }

    private @Nullable Backing openBacking(Path image, Qcow2Header header) throws StageException {
        String name = header.backingFile();
        if (name == null) {
            return null;
        }
        Path path = BackingName.resolve(image, name);
        try {
            FileStorage storage = openFile(path, true);
            if (isQcow2(image, header, path, storage)) {
                Qcow2Engine engine = openImage(path, storage, true);
                return new ImageBacking(engine::start, engine.sizeBytes());
            }
            opened.add(0, storage);
            return new ImageBacking(storage, storage.sizeBytes());
        } catch (StageException e) {
            throw BackingName.in(image, e);
        }
    }

    private static boolean isQcow2(Path image, Qcow2Header header, Path backing, FileStorage storage)
            throws StageException {
        boolean isOpen = false;
        try {
            ByteBuffer start = ByteBuffer.allocateDirect(Integer.BYTES);
            if (!"raw".equals(header.backingFormat())) {
                Qcow2Header.readAt(storage, start, 0);
            }
            boolean isQcow2 = BackingFormat.isQcow2(image, header, backing, Qcow2Header.isQcow2(start));
            isOpen = true;
            return isQcow2;
        } finally {
            if (!isOpen) {
                storage.close();
            }
        }
    }

    /** Returns the image itself. */
    public Qcow2Engine engine() {
        return java.util.Objects.requireNonNull(top);
    }

    /** Starts a request; RESPOND or STOLEN. */
    public Verdict start(BlockRequest request) {
        return engine().start(request);
    }

    @Override
    public void close() throws StageException {
        StageException failed = null;
        for (AutoCloseable each : opened) {
            try {
                each.close();
            } catch (StageException e) {
                failed = e;
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        }
        if (failed != null) {
            throw failed;
        }
    }
}

package io.blocktap.launcher.image;

import io.blocktap.launcher.server.EventLoopKind;
import io.blocktap.launcher.server.EventLoops;
import io.blocktap.pipeline.BoundedWorkerPool;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.pipeline.qcow2.BackingFormat;
import io.blocktap.pipeline.qcow2.BackingName;
import io.blocktap.pipeline.qcow2.HeaderFile;
import io.blocktap.pipeline.qcow2.OwnContent;
import io.blocktap.pipeline.qcow2.Qcow2Header;
import io.netty.channel.EventLoop;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.DoubleConsumer;

/** An overlay and what is below it, opened to write the one into the other. The caller's thread. */
public final class CommitSession implements AutoCloseable {
    private static final long IN_FLIGHT_BYTES = 64 << 20;
    private static final int WORKERS = 4;

    private final TapLoops loops;
    private final WorkerPool workers = new BoundedWorkerPool(WORKERS);
    private final Path base;
    private final Disk overlayDisk;
    private final Disk baseDisk;
    private final OwnContent overlay;

    private CommitSession(Path file) throws StageException {
        if (!Files.exists(file)) {
            throw new StageException(file + " does not exist");
        }
        loops = new TapLoops(EventLoops.create(EventLoopKind.EPOLL, 1), IN_FLIGHT_BYTES);
        try {
            Qcow2Header header = readHeader(file);
            header.requireUsable(file.toString(), true);
            String name = header.backingFile();
            if (name == null) {
                throw new StageException(
                        file
                                + " has no backing file to write into; if it is an overlay for something that is not a file, copy it by nbdcopy through a server instead");
            }
            if (header.snapshots() > 0) {
                throw new StageException(file + " has " + header.snapshots()
                        + " internal snapshots, which would change with what is below; make files of them (qemu-img convert -l NAME), then delete them: qemu-img snapshot -d NAME "
                        + file);
            }
            base = BackingName.resolve(file, name);
            boolean isQcow2 = isQcow2(file, header, base);
            requireWritable(file);
            requireWritable(base);
            DiskOpener opener = new DiskOpener(loops, workers, InstantSource.system());
            baseDisk = opener.open(
                    "base", base.toString(), List.of(new DiskOpener.Unopened("base", new BaseStage(base, isQcow2))));
            overlay = new OwnContent(file);
            overlayDisk = openOverlay(opener, file, header);
        } catch (StageException | RuntimeException e) {
            workers.close();
            loops.close();
            throw e;
        }
    }

    /** Returns whether what is below is qcow2, as the overlay says. It has to be so: a qcow2 image that was taken for a raw disk would be destroyed. */
    private static boolean isQcow2(Path file, Qcow2Header header, Path base) throws StageException {
        boolean isQcow2 = BackingFormat.isQcow2(file, header, base);
        if (!Files.exists(base)) {
            throw new StageException(file + " has the backing file " + base
                    + ", which does not exist; if it has another name now: qemu-img rebase -u -b BASE -F "
                    + header.backingFormat() + " " + file);
        }
        boolean beginsAsQcow2;
        try (HeaderFile open = HeaderFile.open(base)) {
            beginsAsQcow2 = open.isQcow2();
        } catch (IOException e) {
            throw new StageException(base + " can not be read: " + e.getMessage(), e);
        }
        if (isQcow2) {
            return BackingFormat.isQcow2(file, header, base, beginsAsQcow2);
        }
        if (beginsAsQcow2) {
            throw new StageException(file + " says that its backing file " + base
                    + " is raw, and that begins as a qcow2 image, which would be destroyed; if it is the raw disk of a guest all the same, qemu-img commit "
                    + file + " does it");
        }
        return false;
    }

    private static void requireWritable(Path file) throws StageException {
        if (!Files.isWritable(file)) {
            throw new StageException(
                    file
                            + " may not be written, and commit writes the overlay and what is below it; check its owner, its mode and its file system");
        }
    }

    private Disk openOverlay(DiskOpener opener, Path file, Qcow2Header header) throws StageException {
        try {
            if (baseDisk.geometry().sizeBytes() < header.sizeBytes()) {
                throw new StageException(base + " has " + baseDisk.geometry().sizeBytes() + " bytes, the disk in "
                        + file
                        + " has " + header.sizeBytes() + "; make it as large first: qemu-img resize " + base + " "
                        + header.sizeBytes());
            }
            Disk disk = opener.open("overlay", file.toString(), List.of(new DiskOpener.Unopened("overlay", overlay)));
            if (!overlay.engine().header().equals(header)) {
                disk.close();
                throw new StageException(file + " was changed by another program just now; look at it, and try again");
            }
            return disk;
        } catch (StageException e) {
            baseDisk.close();
            throw e;
        }
    }

    /**
     * Opens an overlay and what is below it. Both are locked against others.
     *
     * @throws StageException in words for the user
     */
    public static CommitSession open(Path overlay) throws StageException {
        return new CommitSession(overlay);
    }

    private static Qcow2Header readHeader(Path file) throws StageException {
        try (HeaderFile open = HeaderFile.open(file)) {
            return Qcow2Header.read(open);
        } catch (IOException e) {
            throw new StageException(file + " can not be read: " + e.getMessage(), e);
        }
    }

    /** Returns what is written into. */
    public Path base() {
        return base;
    }

    /**
     * How it went.
     *
     * @param isDone whether nothing is left in the overlay
     * @param copiedBytes what was written below, zeroes included
     */
    public record Result(boolean isDone, long copiedBytes) {}

    /**
     * Writes all that the overlay has into what is below, and takes it out of the overlay.
     *
     * @param progress told of the fraction that is done
     * @param isStopped whether to end early; it can be begun again at any time
     * @throws IOException if something could not be read or written; it can be begun again when that is mended
     */
    public Result run(DoubleConsumer progress, BooleanSupplier isStopped) throws IOException, InterruptedException {
        EventLoop loop = loops.group().next();
        try {
            OverlayCommit commit = new OverlayCommit(overlay.engine(), overlayDisk, baseDisk, loop);
            boolean isDone = commit.run(progress, isStopped);
            return new Result(isDone, commit.copiedBytes());
        } catch (RefusedException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    @Override
    public void close() {
        overlayDisk.close();
        baseDisk.close();
        workers.close();
        loops.close();
    }
}

package io.blocktap.pipeline.file;

import io.blocktap.pipeline.StageException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Opens one file: makes it if that is wanted, locks it, finds out what it is. Used once, on a thread that may wait.
 *
 * <p>A device that is written is opened with {@code O_EXCL}, too: then the kernel refuses if it, or a part of it, is mounted or in a RAID, and refuses that as long as we have it.
 */
final class FileOpener {
    private static final Logger LOG = LoggerFactory.getLogger(FileOpener.class);
    private static final int MODE = 0644;
    private static final int TYPE_MASK = 0170000;
    private static final int TYPE_REGULAR = 0100000;
    private static final int TYPE_DEVICE = 0060000;
    private static final int TYPE_DIRECTORY = 0040000;
    private static final int EISDIR = 21;
    /** udev holds a lock of a device for some milliseconds when it was closed after writing, to look what is on it. */
    private static final int DEVICE_LOCK_TRIES = 20;

    private static final long LOCK_TRY_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
    private static final int LOCK_TRIES_A_SECOND = 10;

    /** How long a lock is waited for whose process lives: it may be about to end. */
    private static final int LIVING_HOLDER_SECONDS = 2;

    /** The same if no process is seen that has it: a killed one's requests in io_uring keep its files open until they have ended. */
    private static final int ENDED_HOLDER_SECONDS = 10;

    private final Path path;
    private final BlockFile.Access access;
    private final BlockFile.Caching caching;
    private final long createBytes;
    private final BlockFile.PastEnd pastEnd;

    private @Nullable Fd cached;
    private @Nullable Fd syncs;
    private @Nullable Fd direct;
    private boolean isDevice;
    private boolean isOursToDelete;

    FileOpener(
            Path path,
            BlockFile.Access access,
            BlockFile.Caching caching,
            long createBytes,
            BlockFile.PastEnd pastEnd) {
        this.path = path;
        this.access = access;
        this.caching = caching;
        this.createBytes = createBytes;
        this.pastEnd = pastEnd;
    }

    OpenFile open() throws StageException {
        boolean isOpen = false;
        try {
            OpenFile file = tryOpen();
            isOpen = true;
            return file;
        } catch (IOException e) {
            throw new StageException(explain(e), e);
        } finally {
            if (!isOpen) {
                undo();
            }
        }
    }

    private OpenFile tryOpen() throws IOException, StageException {
        Fd fd = openOrCreate();
        cached = fd;
        String type = fileSystemType();
        lock(fd, type);
        if (isNew) {
            isOursToDelete = true;
            Libc.truncate(fd, createBytes);
        }
        long size = check(Libc.seek(fd, 0, Libc.SEEK_END), "lseek");
        checkSize(size);
        Fd syncFd = reopen(fd, 0);
        syncs = syncFd;
        int sector = isDevice ? deviceSector(fd) : 512;
        if (caching == BlockFile.Caching.DIRECT) {
            Fd directFd = reopen(fd, Libc.directFlag());
            direct = directFd;
            QemuLocks.hold(directFd, access); // io_uring may still write through it when the process is gone
            sector = Math.max(sector, probeSector(directFd));
        }
        boolean isInMemory = !isDevice && (type.equals("tmpfs") || type.equals("ramfs"));
        return new OpenFile(path, fd, syncFd, direct, isDevice, isInMemory, size, sector);
    }

    private boolean isNew;

    private void undo() {
        if (direct != null) {
            direct.close();
        }
        if (syncs != null) {
            syncs.close();
        }
        if (cached != null) {
            if (isOursToDelete && !path.toFile().delete()) {
                LOG.warn("{} was made, can not be used and not be removed again", path);
            }
            cached.close();
        }
    }

    // ---- opening

    private Fd openOrCreate() throws IOException, StageException {
        int mode;
        try {
            // Before it is opened: opening a pipe for reading would wait, and a tape would rewind.
            mode = (Integer) Files.getAttribute(path, "unix:mode") & TYPE_MASK;
        } catch (NoSuchFileException e) {
            return create();
        }
        if (mode == TYPE_DIRECTORY) {
            throw new StageException(path + " is a directory; an image is a file or a block device");
        }
        if (mode != TYPE_REGULAR && mode != TYPE_DEVICE) {
            throw new StageException(path + " is neither a regular file nor a block device");
        }
        isDevice = mode == TYPE_DEVICE;
        return Libc.openFile(path.toString(), flags() | (isDevice && isWriter() ? Libc.O_EXCL : 0), 0);
    }

    private Fd create() throws NativeException, StageException {
        if (createBytes < 0) {
            throw new StageException(path + " does not exist; give size=, for example size=1G, to make it");
        }
        Fd fd = Libc.openFile(path.toString(), Libc.O_RDWR | Libc.O_CREAT | Libc.O_EXCL, MODE);
        isNew = true;
        return fd;
    }

    private boolean isWriter() {
        return access == BlockFile.Access.READ_WRITE;
    }

    private int flags() {
        return isWriter() ? Libc.O_RDWR : Libc.O_RDONLY;
    }

    /** Opens the very same file once more, whatever its path names by now. */
    private Fd reopen(Fd fd, int moreFlags) throws NativeException {
        return Libc.openFile("/proc/self/fd/" + fd.number(), flags() | moreFlags, 0);
    }

    private String fileSystemType() throws IOException {
        if (path.startsWith("/proc/self/fd")
                && Files.readSymbolicLink(path).toString().startsWith("/memfd:")) {
            return "tmpfs"; // that of a memfd is mounted nowhere
        }
        return Files.getFileStore(path).type();
    }

    private void checkSize(long size) throws StageException {
        if (size == 0 && pastEnd == BlockFile.PastEnd.ZEROES) {
            throw new StageException(path + " is empty, and so no image; remove it if an overlay is to be made, or: "
                    + "qemu-img create -f qcow2 " + path + " SIZE");
        }
        if (size == 0) {
            long wanted = createBytes > 0 ? createBytes : 1L << 30;
            throw new StageException(path + " is empty; make it as large as the disk is to be: truncate -s " + wanted
                    + " " + path + ", or remove it and give size=" + wanted);
        }
        if (createBytes >= 0 && size != createBytes) {
            throw new StageException(path + " exists with " + size + " bytes, size= says " + createBytes
                    + "; leave size= out to serve it as it is");
        }
    }

    // ---- the lock

    private void lock(Fd fd, String fileSystemType) throws StageException {
        int result = lockNow(fd, fileSystemType);
        if (result == -Errno.EAGAIN) {
            result = awaitLock(fd, fileSystemType);
        }
        if (result == -Errno.EAGAIN) {
            if (LockHolder.isThisProcess(path)) {
                throw new StageException(path + " is in use by another disk of this server"
                        + (isWriter() ? "; two could destroy it" : ", which writes it")
                        + "; detach that one, or give both frontends the same disk of the configuration");
            }
            Optional<String> holder = LockHolder.of(path);
            throw new StageException(path + " is in use by another program"
                    + holder.map(each -> ", " + each).orElse("")
                    + (isWriter() ? "; two could destroy it" : ", which writes it")
                    + "; stop that one, or serve a copy");
        }
        if (result < 0) {
            LOG.warn("{} can not be locked ({}); make sure that nobody else writes it", path, Errno.describe(-result));
        }
    }

    /** A supervisor starts a server anew as soon as the old one is gone, which may be before its files are closed. */
    private int awaitLock(Fd fd, String fileSystemType) {
        int result = -Errno.EAGAIN;
        int seconds = 1; // so that nothing is said, and nobody looked for, if it is short
        for (int tried = 1; result == -Errno.EAGAIN && tried <= seconds * LOCK_TRIES_A_SECOND; tried++) {
            // Never in step with another one who waits: two tries at the same moment refuse each other.
            LockSupport.parkNanos(LOCK_TRY_NANOS * ThreadLocalRandom.current().nextInt(75, 126) / 100);
            if (Thread.currentThread().isInterrupted()) {
                break;
            }
            result = lockNow(fd, fileSystemType);
            if (result == -Errno.EAGAIN && tried % LOCK_TRIES_A_SECOND == 0) {
                boolean isHolderSeen = LockHolder.of(path).isPresent();
                seconds = isHolderSeen ? LIVING_HOLDER_SECONDS : ENDED_HOLDER_SECONDS;
                if (tried == LOCK_TRIES_A_SECOND && !isHolderSeen) {
                    LOG.warn(
                            "{} is still in use by a process that has ended or is not to be seen; waiting for it, {} s at most",
                            path,
                            seconds);
                }
            }
        }
        return result;
    }

    private int lockNow(Fd fd, String fileSystemType) {
        int result = QemuLocks.take(fd, access);
        // NFS and CIFS make a byte range lock of flock, which would stand against our own byte locks.
        if (result != -Errno.EAGAIN && !fileSystemType.startsWith("nfs") && !fileSystemType.startsWith("cifs")) {
            int whole = lockWhole(fd);
            result = result == 0 || whole == -Errno.EAGAIN ? whole : result;
        }
        if (result == -Errno.EAGAIN) {
            QemuLocks.letGo(fd);
        }
        return result;
    }

    private int lockWhole(Fd fd) {
        for (int tried = 1; ; tried++) {
            int result = isWriter() ? Libc.lockExclusive(fd) : Libc.lockShared(fd);
            if (result != -Errno.EAGAIN || !isDevice || tried == DEVICE_LOCK_TRIES) {
                return result;
            }
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(50));
        }
    }

    // ---- what it is

    private int deviceSector(Fd fd) throws NativeException {
        IoScratch scratch = IoScratch.ofThisThread();
        check(Libc.control(fd, Libc.BLKSSZGET, scratch.address()), "ioctl");
        return scratch.view().getInt(0);
    }

    /** Finds the smallest unit of direct I/O by trying: a file's is its device's, which may have sectors of 4096 bytes. */
    private int probeSector(Fd fd) throws NativeException {
        MappedRegion memory = MappedRegion.anonymous(Libc.PAGE_BYTES);
        try {
            for (int sector = 512; sector < Libc.PAGE_BYTES; sector *= 2) {
                long result = Libc.readAt(fd, memory.address(), sector, 0);
                if (result != -Errno.EINVAL) {
                    return sector;
                }
            }
            return Libc.PAGE_BYTES;
        } finally {
            memory.release();
        }
    }

    private long check(long result, String call) throws NativeException {
        if (result < 0) {
            throw new NativeException(call, path.toString(), (int) -result);
        }
        return result;
    }

    // ---- in words

    private String explain(IOException e) {
        int errno = e instanceof NativeException failed ? failed.errno() : 0;
        return switch (errno) {
            case Errno.EACCES, Errno.EPERM ->
                path + " may not be opened (" + Errno.describe(errno) + "); check its owner and mode, or use read-only";
            case Errno.EROFS -> path + " lies on a read-only file system; use read-only";
            case Errno.ENOENT -> path + ": the directory does not exist";
            case Errno.EEXIST -> path + " has just been made by somebody else, or is a link to nothing; try again";
            case Errno.EBUSY -> path + " is in use: mounted, or part of a RAID or a volume group";
            case Errno.ENOSPC, Errno.EDQUOT -> path + ": no space for a new image (" + Errno.describe(errno) + ")";
            case Errno.EFBIG -> path + ": its file system has no files of " + createBytes + " bytes";
            case EISDIR -> path + " is a directory; an image is a file or a block device";
            case Errno.EINVAL ->
                caching == BlockFile.Caching.DIRECT && cached != null && !isNew
                        ? path + ": its file system has no O_DIRECT; leave direct=on out"
                        : String.valueOf(e.getMessage());
            default ->
                e instanceof java.nio.file.AccessDeniedException
                        ? path + " may not be reached; check the modes of its directories"
                        : String.valueOf(e.getMessage());
        };
    }
}

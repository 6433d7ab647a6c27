package io.blocktap.pipeline.file;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An open regular file or block device. Owns its descriptors and its lock.
 *
 * <p>All operations may wait and are for worker threads, but {@link #tryRead}, which never waits. They transfer everything or fail; addresses are of memory
 * that the caller keeps alive. Any thread, several at a time.
 *
 * <p><b>Failed syncs.</b> After a failed {@code fdatasync} the kernel has dropped the state of the pages concerned, and the next one would succeed although data were
 * lost. So the file is poisoned: syncs and writes fail from then on, until it is opened anew.
 */
public final class BlockFile implements AutoCloseable {
    /** How a file is opened. */
    public enum Access {
        /** For reading; several readers may share it. */
        READ_ONLY,
        /** For reading and writing, alone. */
        READ_WRITE
    }

    /** Whether the page cache is used. */
    public enum Caching {
        /** Through the page cache. */
        CACHED,
        /** Past it, with {@code O_DIRECT}. */
        DIRECT
    }

    private static final Logger LOG = LoggerFactory.getLogger(BlockFile.class);
    private static final int ZEROES_BYTES = 1 << 20;
    private static final int MODE = 0644;
    private static final int LOGGED_FAILURES = 5;

    private final Path path;
    private final Fd fd;
    private final @Nullable Fd direct;
    private final boolean isDevice;
    private final long sizeBytes;
    private final int sectorBytes;
    private final AtomicLong failures = new AtomicLong();
    private final AtomicBoolean poisoned = new AtomicBoolean();
    private final MappedRegion zeroes;
    private volatile boolean punchRefused;
    private volatile boolean zeroRangeRefused;
    private volatile boolean dsyncRefused;
    private volatile boolean nowaitRefused;

    private BlockFile(Path path, Fd fd, @Nullable Fd direct, boolean isDevice, long sizeBytes, int sectorBytes)
            throws NativeException {
        this.path = path;
        this.fd = fd;
        this.direct = direct;
        this.isDevice = isDevice;
        this.sizeBytes = sizeBytes;
        this.sectorBytes = sectorBytes;
        this.zeroes = MappedRegion.anonymous(ZEROES_BYTES);
    }

    /**
     * Opens a file, locks it, and finds out what it is.
     *
     * @param createBytes if 0 or more: create the file with this size if it does not exist; if it does, it must have this size
     * @throws StageException in words for the user
     */
    public static BlockFile open(Path path, Access access, Caching caching, long createBytes) throws StageException {
        Fd fd = null;
        Fd direct = null;
        try {
            if (Files.isDirectory(path)) {
                throw new StageException(path + " is a directory; an image is a file or a block device");
            }
            fd = openOrCreate(path, access, createBytes);
            lock(path, fd, access);
            boolean isDevice = isDevice(path);
            if (!isDevice && !Files.isRegularFile(path)) {
                throw new StageException(path + " is neither a regular file nor a block device");
            }
            long size = isDevice ? deviceSize(fd) : Files.size(path);
            if (createBytes >= 0 && size != createBytes) {
                throw new StageException(path + " exists with " + size + " bytes, size= says " + createBytes
                        + "; leave size= out to serve it as it is");
            }
            if (size == 0) {
                throw new StageException(path + " is empty; give size=, for example size=1G, to make a new image");
            }
            if (caching == Caching.DIRECT) {
                direct = Libc.openFile(path.toString(), flags(access) | Libc.directFlag(), 0);
            }
            return new BlockFile(path, fd, direct, isDevice, size, isDevice ? deviceSector(fd) : 512);
        } catch (java.io.IOException e) {
            closeAll(fd, direct);
            throw new StageException(explain(path, caching, e), e);
        } catch (StageException | RuntimeException e) {
            closeAll(fd, direct);
            throw e;
        }
    }

    private static void closeAll(@Nullable Fd fd, @Nullable Fd direct) {
        if (direct != null) {
            direct.close();
        }
        if (fd != null) {
            fd.close();
        }
    }

    private static String explain(Path path, Caching caching, java.io.IOException e) {
        int errno = e instanceof NativeException failed ? failed.errno() : 0;
        return switch (errno) {
            case Errno.ENOENT -> path + " does not exist; give size=, for example size=1G, to make it";
            case Errno.EACCES, Errno.EPERM ->
                path + " may not be opened (" + Errno.describe(errno) + "); check its owner and mode, or use read-only";
            case Errno.EROFS -> path + " lies on a read-only file system; use read-only";
            case Errno.ENOSPC, Errno.EDQUOT -> path + ": no space for a new image";
            case Errno.EINVAL ->
                caching == Caching.DIRECT
                        ? path + ": its file system has no O_DIRECT; leave direct=on out"
                        : String.valueOf(e.getMessage());
            default -> String.valueOf(e.getMessage());
        };
    }

    private static int flags(Access access) {
        return access == Access.READ_ONLY ? Libc.O_RDONLY : Libc.O_RDWR;
    }

    private static Fd openOrCreate(Path path, Access access, long createBytes) throws NativeException {
        try {
            return Libc.openFile(path.toString(), flags(access), 0);
        } catch (NativeException e) {
            if (e.errno() != Errno.ENOENT || createBytes < 0 || access == Access.READ_ONLY) {
                throw e;
            }
        }
        Fd fd = Libc.openFile(path.toString(), Libc.O_RDWR | Libc.O_CREAT | Libc.O_EXCL, MODE);
        try {
            Libc.truncate(fd, createBytes);
            return fd;
        } catch (NativeException e) {
            fd.close();
            path.toFile().delete();
            throw e;
        }
    }

    private static void lock(Path path, Fd fd, Access access) throws StageException {
        int result = access == Access.READ_ONLY ? Libc.lockShared(fd) : Libc.lockExclusive(fd);
        if (result == 0) {
            result = QemuLocks.take(fd, access);
        }
        if (result == -Errno.EAGAIN) {
            throw new StageException(path + " is in use by another program"
                    + (access == Access.READ_ONLY ? ", which writes it" : "; two could destroy it"));
        }
        if (result < 0) {
            LOG.warn("{} can not be locked ({}); make sure that nobody else writes it", path, Errno.describe(-result));
        }
    }

    private static boolean isDevice(Path path) throws java.io.IOException {
        int mode = (Integer) Files.getAttribute(path, "unix:mode");
        return (mode & 0170000) == 0060000;
    }

    private static long deviceSize(Fd fd) throws NativeException {
        return ask(fd, Libc.BLKGETSIZE64, "BLKGETSIZE64");
    }

    private static int deviceSector(Fd fd) throws NativeException {
        return (int) ask(fd, Libc.BLKSSZGET, "BLKSSZGET");
    }

    private static long ask(Fd fd, long request, String name) throws NativeException {
        MappedRegion answer = MappedRegion.anonymous(Libc.PAGE_BYTES);
        try {
            int result = Libc.control(fd, request, answer.address());
            if (result < 0) {
                throw new NativeException("ioctl", name, -result);
            }
            return answer.view().getLong(0);
        } finally {
            answer.release();
        }
    }

    // ---- what it is

    /** Returns the path that it was opened by. */
    public Path path() {
        return path;
    }

    /** Returns the size in bytes, as it was when it was opened. */
    public long sizeBytes() {
        return sizeBytes;
    }

    /** Returns the smallest unit of direct I/O: the device's logical sector, 512 for a file. */
    public int sectorBytes() {
        return sectorBytes;
    }

    /** Returns whether it is a block device. */
    public boolean isDevice() {
        return isDevice;
    }

    /** Returns the descriptor for cached I/O; it stays owned by this object. */
    public Fd cachedFd() {
        return fd;
    }

    /** Returns the descriptor for direct I/O, null if it was opened cached; it stays owned by this object. */
    public @Nullable Fd directFd() {
        return direct;
    }

    /** Returns whether a sync has failed, so that writes and syncs fail from now on. */
    public boolean isPoisoned() {
        return poisoned.get();
    }

    // ---- operations

    /**
     * Reads as much as the page cache has, without waiting for the device.
     *
     * @param iovAddress 16 bytes of scratch memory of the calling thread
     * @return bytes read from the start of the range, 0 if none are cached
     */
    public int tryRead(long iovAddress, java.nio.ByteBuffer iov, long address, int length, long offset) {
        if (nowaitRefused) {
            return 0;
        }
        iov.putLong(0, address).putLong(8, length);
        long result = Libc.readVectorAt(fd, iovAddress, 1, offset, Libc.RWF_NOWAIT);
        if (result == -Errno.EOPNOTSUPP || result == -Errno.ENOSYS || result == -Errno.EINVAL) {
            nowaitRefused = true;
        }
        return (int) Math.max(0, result);
    }

    /** Reads a range. */
    public BlockStatus read(Fd by, long address, long length, long offset) {
        long done = 0;
        while (done < length) {
            long result = Libc.readAt(by, address + done, length - done, offset + done);
            if (result == 0) {
                return failed("read", offset + done, "the file ends at " + (offset + done) + ", it was cut short");
            }
            if (result < 0 && result != -Errno.EINTR) {
                return failed("read", offset + done, (int) -result);
            }
            done += Math.max(0, result);
        }
        return BlockStatus.OK;
    }

    /** Writes a range. */
    public BlockStatus write(Fd by, long address, long length, long offset) {
        if (poisoned.get()) {
            return BlockStatus.IO_ERROR;
        }
        long done = 0;
        while (done < length) {
            long result = Libc.writeAt(by, address + done, length - done, offset + done);
            if (result <= 0 && result != -Errno.EINTR) {
                return failed("write", offset + done, (int) -result);
            }
            done += Math.max(0, result);
        }
        return BlockStatus.OK;
    }

    /** Writes a range, and returns when it is on stable storage. */
    public BlockStatus writeDurably(Fd by, long address, long length, long offset) {
        if (dsyncRefused) {
            BlockStatus status = write(by, address, length, offset);
            return status == BlockStatus.OK ? sync() : status;
        }
        if (poisoned.get()) {
            return BlockStatus.IO_ERROR;
        }
        IoScratch scratch = IoScratch.ofThisThread();
        long done = 0;
        while (done < length) {
            scratch.view().putLong(0, address + done).putLong(8, length - done);
            long result = Libc.writeVectorAt(by, scratch.address(), 1, offset + done, Libc.RWF_DSYNC);
            if (result == -Errno.EOPNOTSUPP || result == -Errno.ENOSYS) {
                dsyncRefused = true;
                return writeDurably(by, address, length, offset);
            }
            if (result <= 0 && result != -Errno.EINTR) {
                return failedDurably(offset + done, (int) -result);
            }
            done += Math.max(0, result);
        }
        return BlockStatus.OK;
    }

    /**
     * A write that is to be stable reports the failed write-back of others, too, and reports it once: the next sync would succeed. So
     * it poisons the file, unless it may have failed for lack of space alone; then a sync of our own tells.
     */
    private BlockStatus failedDurably(long offset, int errno) {
        BlockStatus status = failed("write", offset, errno);
        if (status == BlockStatus.NO_SPACE) {
            return sync() == BlockStatus.OK ? status : BlockStatus.IO_ERROR;
        }
        if (errno != Errno.EINVAL) {
            poison("a write to stable storage", errno);
        }
        return status;
    }

    private void poison(String what, int errno) {
        if (!poisoned.getAndSet(true)) {
            LOG.error(
                    "{}: {} failed ({}); earlier writes may be lost, so writes and flushes fail from now on",
                    path,
                    what,
                    Errno.describe(errno));
        }
    }

    /** Makes everything written so far stable. */
    public BlockStatus sync() {
        if (poisoned.get()) {
            return BlockStatus.IO_ERROR;
        }
        int result;
        do {
            result = Libc.syncData(fd);
        } while (result == -Errno.EINTR);
        if (result < 0) {
            poison("fdatasync", -result);
            return BlockStatus.IO_ERROR;
        }
        return BlockStatus.OK;
    }

    /** Gives a range's storage back. The range then reads as anything; storage that can not do so is left as it is. */
    public BlockStatus discard(long offset, long length) {
        if (poisoned.get()) {
            return BlockStatus.IO_ERROR;
        }
        if (isDevice) {
            // A discard is a hint: of a part of a sector nothing can be given back.
            long start = (offset + sectorBytes - 1) / sectorBytes * sectorBytes;
            long end = (offset + length) / sectorBytes * sectorBytes;
            int result = end <= start ? 0 : device(Libc.BLKDISCARD, start, end - start);
            return result < 0 && !isUnsupported(result) ? failed("discard", offset, -result) : BlockStatus.OK;
        }
        int result = punch(offset, length);
        return result < 0 && !isUnsupported(result) ? failed("discard", offset, -result) : BlockStatus.OK;
    }

    private int punch(long offset, long length) {
        if (punchRefused) {
            return -Errno.EOPNOTSUPP;
        }
        int result = Libc.allocate(fd, Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, offset, length);
        punchRefused |= isUnsupported(result);
        return result;
    }

    private static boolean isUnsupported(int result) {
        return result == -Errno.EOPNOTSUPP || result == -Errno.ENOSYS || result == -25 /* ENOTTY */;
    }

    private int device(long request, long offset, long length) {
        MappedRegion range;
        try {
            range = MappedRegion.anonymous(Libc.PAGE_BYTES);
        } catch (NativeException e) {
            return -e.errno();
        }
        try {
            range.view().putLong(0, offset).putLong(8, length);
            return Libc.control(fd, request, range.address());
        } finally {
            range.release();
        }
    }

    /**
     * Makes a range read as zeroes.
     *
     * @param keepAllocated whether the storage is to stay reserved
     * @param fastOnly whether to fail with UNSUPPORTED where only writing zeroes would do
     */
    public BlockStatus zero(long offset, long length, Allocation keepAllocated, Speed fastOnly) {
        if (poisoned.get()) {
            return BlockStatus.IO_ERROR;
        }
        int result = quickZero(offset, length, keepAllocated);
        if (result == 0) {
            return BlockStatus.OK;
        }
        if (!isUnsupported(result) && result != -Errno.EINVAL) {
            return failed("zero", offset, -result);
        }
        return fastOnly == Speed.FAST_ONLY ? BlockStatus.UNSUPPORTED : writeZeroes(offset, length);
    }

    /** What becomes of the storage of a zeroed range. */
    public enum Allocation {
        /** It may be given back. */
        MAY_FREE,
        /** It stays reserved. */
        KEEP
    }

    /** What to do if zeroing is not faster than writing. */
    public enum Speed {
        /** Write. */
        ANY,
        /** Fail. */
        FAST_ONLY
    }

    private int quickZero(long offset, long length, Allocation allocation) {
        if (isDevice) {
            return device(Libc.BLKZEROOUT, offset, length);
        }
        if (allocation == Allocation.MAY_FREE) {
            int result = punch(offset, length);
            if (result == 0) {
                return 0;
            }
        }
        if (zeroRangeRefused) {
            return -Errno.EOPNOTSUPP;
        }
        int result = Libc.allocate(fd, Libc.FALLOC_FL_ZERO_RANGE | Libc.FALLOC_FL_KEEP_SIZE, offset, length);
        zeroRangeRefused |= isUnsupported(result);
        return result;
    }

    private BlockStatus writeZeroes(long offset, long length) {
        long done = 0;
        while (done < length) {
            long now = Math.min(ZEROES_BYTES, length - done);
            BlockStatus status = write(fd, zeroes.address(), now, offset + done);
            if (status != BlockStatus.OK) {
                return status;
            }
            done += now;
        }
        return BlockStatus.OK;
    }

    private BlockStatus failed(String what, long offset, int errno) {
        BlockStatus status =
                errno == Errno.ENOSPC || errno == Errno.EDQUOT ? BlockStatus.NO_SPACE : BlockStatus.IO_ERROR;
        complain(what, offset, Errno.describe(errno));
        return status;
    }

    private BlockStatus failed(String what, long offset, String why) {
        complain(what, offset, why);
        return BlockStatus.IO_ERROR;
    }

    /** Logs the first failures, and then one in a thousand: a full disk fails every write. */
    private void complain(String what, long offset, String why) {
        long count = failures.incrementAndGet();
        if (count <= LOGGED_FAILURES || count % 1000 == 0) {
            LOG.warn("{}: {} at {} failed: {} (failure {} of this image)", path, what, offset, why, count);
        }
    }

    @Override
    public void close() {
        closeAll(fd, direct);
        zeroes.release();
    }
}

package io.blocktap.pipeline.file;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An open regular file or block device. Owns its descriptors and its lock.
 *
 * <p>All operations may wait and are for worker threads, but {@link #tryRead} and {@link #tryWrite}, which never wait. They transfer everything or fail; addresses are of
 * memory that the caller keeps alive. Any thread, several at a time.
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

    /** What is read behind the end of the file. */
    public enum PastEnd {
        /** Nothing: it was cut short. */
        FAILS,
        /** Zeroes, as of a hole, up to the next multiple of {@link #SLACK_BYTES}: what is in the file may end in the middle of its last unit. What is read further on was cut off. */
        ZEROES
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

    /** The largest unit that a file of {@link PastEnd#ZEROES} may have: a cluster of a qcow2 image. */
    public static final long SLACK_BYTES = 2 << 20;

    private static final Logger LOG = LoggerFactory.getLogger(BlockFile.class);
    private static final int LOGGED_FAILURES = 5;

    private final OpenFile file;
    private final GroupSync syncs;
    private final FileSpace space;
    private final PastEnd pastEnd;
    private final AtomicLong failures = new AtomicLong();
    private volatile boolean dsyncRefused;
    private volatile boolean nowaitReadRefused;
    private volatile boolean nowaitWriteRefused;

    private BlockFile(OpenFile file, MappedRegion zeroes, PastEnd pastEnd) {
        this.file = file;
        this.pastEnd = pastEnd;
        this.syncs = new GroupSync(file.path(), file.syncs());
        this.space = new FileSpace(this, zeroes);
    }

    /**
     * Opens a file, locks it, and finds out what it is.
     *
     * @param createBytes if 0 or more: create the file with this size if it does not exist; if it does, it must have this size
     * @throws StageException in words for the user
     */
    public static BlockFile open(Path path, Access access, Caching caching, long createBytes) throws StageException {
        return open(path, access, caching, createBytes, PastEnd.FAILS);
    }

    /** As {@link #open(Path, Access, Caching, long)}, for a file whose length is not that of what is in it. */
    public static BlockFile open(Path path, Access access, Caching caching, long createBytes, PastEnd pastEnd)
            throws StageException {
        OpenFile file = new FileOpener(path, access, caching, createBytes, pastEnd).open();
        try {
            return new BlockFile(file, MappedRegion.anonymous(FileSpace.ZEROES_BYTES), pastEnd);
        } catch (NativeException e) {
            file.close();
            throw new StageException(path + ": " + e.getMessage(), e);
        }
    }

    // ---- what it is

    /** Returns the path that it was opened by. */
    public Path path() {
        return file.path();
    }

    /** Returns the size in bytes, as it was when it was opened. */
    public long sizeBytes() {
        return file.sizeBytes();
    }

    /** Returns the size in bytes at this moment, or a negated errno. May wait; moves the descriptor's position, which nobody uses. */
    public long currentSizeBytes() {
        return Libc.seek(file.cached(), 0, Libc.SEEK_END);
    }

    /** Returns the smallest unit of direct I/O: the device's logical sector, 512 for most files. */
    public int sectorBytes() {
        return file.sectorBytes();
    }

    /** Returns whether it is a block device. */
    public boolean isDevice() {
        return file.isDevice();
    }

    /** Returns whether it lies in memory (tmpfs): nothing waits for a device there, so an event loop may read and write it. */
    public boolean isInMemory() {
        return file.isInMemory();
    }

    /** Returns the descriptor for cached I/O; it stays owned by this object. */
    public Fd cachedFd() {
        return file.cached();
    }

    /** Returns the descriptor for I/O past the page cache, or null if it was opened without; it stays owned by this object. */
    public @Nullable Fd directFd() {
        return file.direct();
    }

    /** Returns the descriptor for whole sectors: {@link #directFd} if there is one, else {@link #cachedFd}. */
    public Fd dataFd() {
        Fd direct = file.direct();
        return direct == null ? file.cached() : direct;
    }

    /** Returns whether a sync has failed. */
    public boolean isPoisoned() {
        return syncs.isPoisoned();
    }

    // ---- without waiting

    /**
     * Reads as much as the page cache has, without waiting for the device.
     *
     * @param iovAddress 16 bytes of scratch memory of the calling thread
     * @param iov a view of them
     * @return bytes read from the start of the range, 0 if none are cached
     */
    public int tryRead(long iovAddress, ByteBuffer iov, long address, int length, long offset) {
        if (nowaitReadRefused) {
            return 0;
        }
        iov.putLong(0, address).putLong(8, length);
        long result = Libc.readVectorAt(file.cached(), iovAddress, 1, offset, Libc.RWF_NOWAIT);
        nowaitReadRefused |= isRefused(result);
        return (int) Math.max(0, result);
    }

    /**
     * Writes as much as can be written to the page cache without waiting for anything; XFS and Btrfs can do so, ext4 can't.
     *
     * @param iovAddress 16 bytes of scratch memory of the calling thread
     * @param iov a view of them
     * @return bytes written from the start of the range; 0 if none, which is no error
     */
    public int tryWrite(long iovAddress, ByteBuffer iov, long address, int length, long offset) {
        if (nowaitWriteRefused || isPoisoned()) {
            return 0;
        }
        iov.putLong(0, address).putLong(8, length);
        long result = Libc.writeVectorAt(file.cached(), iovAddress, 1, offset, Libc.RWF_NOWAIT);
        nowaitWriteRefused |= isRefused(result);
        return (int) Math.max(0, result);
    }

    private static boolean isRefused(long result) {
        return result == -Errno.EOPNOTSUPP || result == -Errno.ENOSYS || result == -Errno.EINVAL;
    }

    // ---- reading

    /** Reads a range. */
    public BlockStatus read(Fd by, long address, long length, long offset) {
        return readAtLeast(by, address, length, length, offset);
    }

    /**
     * Reads a range of which the last part may lie behind the end of the file: the last sector of a file of an odd size, read past the page cache.
     *
     * @param needed how much of it must be there
     */
    public BlockStatus readAtLeast(Fd by, long address, long length, long needed, long offset) {
        long done = 0;
        while (done < needed) {
            long result = Libc.readAt(by, address + done, length - done, offset + done);
            if (result == 0 && pastEnd == PastEnd.ZEROES && isInSlack(offset + length)) {
                Libc.zeroMemory(address + done, length - done);
                return BlockStatus.OK;
            }
            if (result == 0) {
                return failed("read", offset + done, "the file ends at " + currentSizeBytes() + ", it was cut short");
            }
            if (result < 0 && result != -Errno.EINTR) {
                return failed("read", offset + done, (int) -result);
            }
            done += Math.max(0, result);
        }
        return BlockStatus.OK;
    }

    private boolean isInSlack(long end) {
        return end <= (currentSizeBytes() + SLACK_BYTES - 1 & -SLACK_BYTES);
    }

    // ---- writing

    /** Writes a range. */
    public BlockStatus write(Fd by, long address, long length, long offset) {
        if (isPoisoned()) {
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
        if (isPoisoned()) {
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
                return durableWriteFailed(offset + done, (int) -result);
            }
            done += Math.max(0, result);
        }
        return BlockStatus.OK;
    }

    /**
     * Takes note of a failed durable write. If the device could not empty its cache, more than this write may be lost, and the next sync would not tell: so the file is poisoned,
     * unless it was for want of space, or for a call that was wrong.
     */
    BlockStatus durableWriteFailed(long offset, int errno) {
        BlockStatus status = failed("write", offset, errno);
        if (status == BlockStatus.IO_ERROR && errno != Errno.EINVAL && errno != Errno.EFBIG) {
            syncs.poison("a write to stable storage", errno);
        }
        return status;
    }

    /** Makes everything stable that was written before the call. Calls at the same time share the work. */
    public BlockStatus sync() {
        return syncs.run() ? BlockStatus.OK : BlockStatus.IO_ERROR;
    }

    // ---- space

    /** Gives a range's storage back. The range then reads as anything; storage that can not do so is left as it is. */
    public BlockStatus discard(long offset, long length) {
        return isPoisoned() ? BlockStatus.IO_ERROR : space.discard(offset, length);
    }

    /**
     * Makes a range read as zeroes.
     *
     * @param allocation whether the storage is to stay reserved
     * @param speed whether to fail with UNSUPPORTED where only writing zeroes would do
     */
    public BlockStatus zero(long offset, long length, Allocation allocation, Speed speed) {
        return isPoisoned() ? BlockStatus.IO_ERROR : space.zero(offset, length, allocation, speed);
    }

    // ---- failures

    BlockStatus failed(String what, long offset, int errno) {
        complain(what, offset, Errno.describe(errno));
        return errno == Errno.ENOSPC || errno == Errno.EDQUOT ? BlockStatus.NO_SPACE : BlockStatus.IO_ERROR;
    }

    private BlockStatus failed(String what, long offset, String why) {
        complain(what, offset, why);
        return BlockStatus.IO_ERROR;
    }

    /** Logs the first failures, and then one in a thousand: a full disk fails every write. */
    private void complain(String what, long offset, String why) {
        long count = failures.incrementAndGet();
        if (count <= LOGGED_FAILURES || count % 1000 == 0) {
            LOG.warn("{}: {} at {} failed: {} (failure {} of this image)", path(), what, offset, why, count);
        }
    }

    @Override
    public void close() {
        file.close();
        space.close();
    }
}

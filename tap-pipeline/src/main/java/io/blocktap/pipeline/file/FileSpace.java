package io.blocktap.pipeline.file;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.file.BlockFile.Allocation;
import io.blocktap.pipeline.file.BlockFile.Speed;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;

/**
 * Discards and zeroes of a file or device: by the calls that move no data, and where there are none, for zeroes, by writing them piece by piece.
 *
 * <p>Devices take whole sectors only. Of a discard the rest is left out; of zeroes it is written.
 *
 * <p>Sources: {@code fallocate(2)}; Linux {@code block/ioctl.c} and {@code block/fops.c} (6.1): on a device, punching a hole fails where the device has no command for it, {@code
 * BLKZEROOUT} writes then.
 */
final class FileSpace implements AutoCloseable {
    static final int ZEROES_BYTES = 1 << 20;
    private static final int ENOTTY = 25;

    private final BlockFile file;
    private final MappedRegion zeroes;
    private volatile boolean punchRefused;
    private volatile boolean zeroRangeRefused;
    private volatile boolean zeroOutRefused;
    private volatile boolean discardRefused;

    /** @param ownedZeroes {@link #ZEROES_BYTES} zeroes, released by {@link #close} */
    FileSpace(BlockFile file, MappedRegion ownedZeroes) {
        this.file = file;
        this.zeroes = ownedZeroes;
    }

    private static boolean isUnsupported(int result) {
        return result == -Errno.EOPNOTSUPP || result == -Errno.ENOSYS || result == -ENOTTY;
    }

    // ---- discard

    BlockStatus discard(long offset, long length) {
        int result = file.isDevice() ? discardSectors(offset, length) : punch(offset, length);
        return result == 0 || isUnsupported(result) ? BlockStatus.OK : file.failed("discard", offset, -result);
    }

    private int discardSectors(long offset, long length) {
        long start = roundUp(offset);
        long end = roundDown(offset + length);
        if (start >= end || discardRefused) {
            return 0;
        }
        int result = control(Libc.BLKDISCARD, start, end - start);
        discardRefused |= isUnsupported(result);
        return result;
    }

    private long roundDown(long offset) {
        return offset & -file.sectorBytes();
    }

    private long roundUp(long offset) {
        return roundDown(offset + file.sectorBytes() - 1);
    }

    private int punch(long offset, long length) {
        if (punchRefused) {
            return -Errno.EOPNOTSUPP;
        }
        int result = allocate(Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, offset, length);
        punchRefused |= isUnsupported(result);
        return result;
    }

    private int zeroRange(long offset, long length) {
        if (zeroRangeRefused) {
            return -Errno.EOPNOTSUPP;
        }
        int result = allocate(Libc.FALLOC_FL_ZERO_RANGE | Libc.FALLOC_FL_KEEP_SIZE, offset, length);
        zeroRangeRefused |= isUnsupported(result);
        return result;
    }

    private int zeroOut(long offset, long length) {
        if (zeroOutRefused) {
            return -Errno.EOPNOTSUPP;
        }
        int result = control(Libc.BLKZEROOUT, offset, length);
        zeroOutRefused |= isUnsupported(result);
        return result;
    }

    private int allocate(int mode, long offset, long length) {
        int result;
        do {
            result = Libc.allocate(file.cachedFd(), mode, offset, length);
        } while (result == -Errno.EINTR);
        return result;
    }

    private int control(long request, long offset, long length) {
        IoScratch scratch = IoScratch.ofThisThread();
        int result;
        do {
            scratch.view().putLong(0, offset).putLong(8, length);
            result = Libc.control(file.cachedFd(), request, scratch.address());
        } while (result == -Errno.EINTR);
        return result;
    }

    // ---- zeroes

    BlockStatus zero(long offset, long length, Allocation allocation, Speed speed) {
        if (!file.isDevice()) {
            return afterTrying(zeroInFile(offset, length, allocation), offset, length, speed);
        }
        long start = Math.min(roundUp(offset), offset + length);
        long end = Math.max(roundDown(offset + length), start);
        BlockStatus status = start == end
                ? BlockStatus.OK
                : afterTrying(zeroInDevice(start, end - start, allocation, speed), start, end - start, speed);
        // The middle first: where it is unsupported nothing may have been changed.
        if (status == BlockStatus.OK && offset < start) {
            status = write(file.cachedFd(), offset, start - offset);
        }
        if (status == BlockStatus.OK && end < offset + length) {
            status = write(file.cachedFd(), end, offset + length - end);
        }
        return status;
    }

    private BlockStatus afterTrying(int result, long offset, long length, Speed speed) {
        if (result == 0) {
            return BlockStatus.OK;
        }
        if (!isUnsupported(result) && result != -Errno.EINVAL) {
            return file.failed("zero", offset, -result);
        }
        return speed == Speed.FAST_ONLY ? BlockStatus.UNSUPPORTED : writeZeroes(offset, length);
    }

    private int zeroInFile(long offset, long length, Allocation allocation) {
        if (allocation == Allocation.MAY_FREE) {
            int result = punch(offset, length);
            if (!isUnsupported(result)) {
                return result;
            }
        }
        return zeroRange(offset, length);
    }

    private int zeroInDevice(long offset, long length, Allocation allocation, Speed speed) {
        if (allocation == Allocation.MAY_FREE) {
            int result = punch(offset, length);
            if (!isUnsupported(result)) {
                return result;
            }
        }
        // It does not say whether it writes: nothing to be relied on for speed.
        return speed == Speed.FAST_ONLY ? -Errno.EOPNOTSUPP : zeroOut(offset, length);
    }

    /** Whole sectors past the page cache if the file is used so, what is left of them through it. */
    private BlockStatus writeZeroes(long offset, long length) {
        long start = Math.min(roundUp(offset), offset + length);
        long end = Math.max(roundDown(offset + length), start);
        BlockStatus status = write(file.cachedFd(), offset, start - offset);
        if (status == BlockStatus.OK) {
            status = write(file.dataFd(), start, end - start);
        }
        return status == BlockStatus.OK ? write(file.cachedFd(), end, offset + length - end) : status;
    }

    private BlockStatus write(Fd by, long offset, long length) {
        long done = 0;
        while (done < length) {
            long now = Math.min(ZEROES_BYTES, length - done);
            BlockStatus status = file.write(by, zeroes.address(), now, offset + done);
            if (status != BlockStatus.OK) {
                return status;
            }
            done += now;
        }
        return BlockStatus.OK;
    }

    @Override
    public void close() {
        zeroes.release();
    }
}

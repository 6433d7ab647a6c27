package io.blocktap.pipeline.file;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.transport.sys.Fd;
import io.netty.buffer.ByteBuf;

/**
 * Moves the data of requests by calls that may wait: straight from and to the request's memory where that is possible, else through an aligned buffer of the thread.
 *
 * <p>Past the page cache only whole sectors can be moved, from and to aligned memory. Other ranges are read with the sectors around them, and written through the page cache ({@link
 * WriteGate} keeps the two apart).
 */
final class Transfers {
    private final BlockFile file;
    private final boolean isDirect;
    private final int mask;

    Transfers(BlockFile file) {
        this.file = file;
        this.isDirect = file.directFd() != null;
        this.mask = file.sectorBytes() - 1;
    }

    /** Returns whether a request's range is of whole sectors. */
    boolean rangeIsAligned(BlockRequest request) {
        return ((request.offsetBytes() | request.lengthBytes()) & mask) == 0;
    }

    /** Returns whether a request's range is of whole sectors, and its memory aligned likewise. */
    boolean isAligned(BlockRequest request) {
        return rangeIsAligned(request) && (request.data().memoryAddress() & mask) == 0;
    }

    // ---- reading

    BlockStatus read(BlockRequest request) {
        ByteBuf data = request.data();
        if (data.hasMemoryAddress() && (!isDirect || isAligned(request))) {
            return file.read(file.dataFd(), data.memoryAddress(), request.dataLength(), request.offsetBytes());
        }
        return readThroughBounce(request, data);
    }

    private BlockStatus readThroughBounce(BlockRequest request, ByteBuf data) {
        IoScratch scratch = IoScratch.ofThisThread();
        int length = request.dataLength();
        int done = 0;
        while (done < length) {
            long offset = request.offsetBytes() + done;
            int before = isDirect ? (int) offset & mask : 0;
            int now = Math.min(IoScratch.BOUNCE_BYTES - before, length - done);
            int whole = isDirect ? before + now + mask & ~mask : now;
            BlockStatus status =
                    file.readAtLeast(file.dataFd(), scratch.bounceAddress(), whole, before + now, offset - before);
            if (status != BlockStatus.OK) {
                return status;
            }
            data.setBytes(done, scratch.bounce(before, now));
            done += now;
        }
        return BlockStatus.OK;
    }

    // ---- writing

    BlockStatus write(BlockRequest request) {
        ByteBuf data = request.data();
        Fd by = rangeIsAligned(request) ? file.dataFd() : file.cachedFd();
        if (data.hasMemoryAddress() && (by == file.cachedFd() || isAligned(request))) {
            return write(request, by, data.memoryAddress(), request.dataLength(), request.offsetBytes());
        }
        IoScratch scratch = IoScratch.ofThisThread();
        int length = request.dataLength();
        int done = 0;
        while (done < length) {
            int now = Math.min(IoScratch.BOUNCE_BYTES, length - done);
            data.getBytes(done, scratch.bounce(0, now));
            BlockStatus status = write(request, by, scratch.bounceAddress(), now, request.offsetBytes() + done);
            if (status != BlockStatus.OK) {
                return status;
            }
            done += now;
        }
        return BlockStatus.OK;
    }

    private BlockStatus write(BlockRequest request, Fd by, long address, int length, long offset) {
        return request.isFua()
                ? file.writeDurably(by, address, length, offset)
                : file.write(by, address, length, offset);
    }
}

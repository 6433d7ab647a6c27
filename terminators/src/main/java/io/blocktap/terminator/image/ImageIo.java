package io.blocktap.terminator.image;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.pipeline.file.IoScratch;
import io.blocktap.pipeline.file.UringFileQueue;
import io.blocktap.pipeline.file.UringLoop;
import io.blocktap.transport.sys.Fd;
import io.netty.buffer.ByteBuf;
import io.netty.channel.EventLoop;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** Decides by which way a request reaches the file, and brings it there. Any thread, several at a time. */
final class ImageIo implements AutoCloseable {
    private final BlockFile file;
    private final ImageConfig config;
    private final WorkerPool workers;
    private final WorkerPool.Work work;
    private final Map<EventLoop, UringFileQueue> queues = new ConcurrentHashMap<>();
    private final @Nullable UringLoop ownLoop;

    ImageIo(BlockFile file, ImageConfig config, WorkerPool workers, WorkerPool.Work work) throws StageException {
        this.file = file;
        this.config = config;
        this.workers = workers;
        this.work = work;
        boolean wanted = config.io() == ImageConfig.Io.URING
                || config.io() == ImageConfig.Io.AUTO && config.caching() == BlockFile.Caching.DIRECT;
        if (wanted && UringLoop.isAvailable()) {
            ownLoop = UringLoop.acquire();
            queues.put(ownLoop.loop(), UringFileQueue.open(ownLoop.loop(), dataFd(), this::redo));
        } else if (config.io() == ImageConfig.Io.URING) {
            throw new StageException("image: io=uring, but this machine has no io_uring ("
                    + UringLoop.unavailabilityReason() + "); use io=threads");
        } else {
            ownLoop = null;
        }
    }

    private Fd dataFd() {
        Fd direct = file.directFd();
        return direct == null ? file.cachedFd() : direct;
    }

    BlockFile file() {
        return file;
    }

    long sizeBytes() {
        return file.sizeBytes();
    }

    // ---- on the event loop

    /** Reads what is in the page cache, without waiting. Returns whether that was all of it. */
    boolean readCached(BlockRequest request) {
        ByteBuf data = request.data();
        if (config.caching() == BlockFile.Caching.DIRECT || !data.hasMemoryAddress()) {
            return false;
        }
        IoScratch scratch = IoScratch.ofThisThread();
        int length = request.dataLength();
        return length > 0
                && file.tryRead(scratch.address(), scratch.view(), data.memoryAddress(), length, request.offsetBytes())
                        == length;
    }

    /** Hands a READ or WRITE to io_uring, if that is the way it goes. */
    boolean submitToUring(BlockRequest request) {
        UringLoop own = ownLoop;
        if (own == null || file.isPoisoned() || !fitsUring(request)) {
            return false;
        }
        EventLoop itsLoop = request.stream().eventLoop();
        // The request's own loop if it runs on io_uring: no thread hop.
        UringFileQueue queue = queues.get(itsLoop);
        if (queue == null && UringFileQueue.isUring(itsLoop)) {
            queue = queues.computeIfAbsent(itsLoop, loop -> UringFileQueue.openInLoop(loop, dataFd(), this::redo));
        }
        if (queue == null) {
            queue = java.util.Objects.requireNonNull(queues.get(own.loop()));
        }
        queue.submit(request);
        return true;
    }

    private boolean fitsUring(BlockRequest request) {
        // A failed durable write must poison the file, which a worker does.
        if (!request.data().hasMemoryAddress() || request.isFua()) {
            return false;
        }
        if (config.caching() == BlockFile.Caching.CACHED) {
            // Buffered writes are punted to kernel threads, which costs more than a worker.
            return request.op() == BlockOp.READ || config.io() == ImageConfig.Io.URING;
        }
        return isAligned(request, file.sectorBytes());
    }

    private static boolean isAligned(BlockRequest request, int sectorBytes) {
        return ((request.offsetBytes() | request.lengthBytes() | request.data().memoryAddress()) & sectorBytes - 1)
                == 0;
    }

    /** On an io_uring loop: does a request over that did not end well. */
    private void redo(BlockRequest request) {
        workers.submit(request, work);
    }

    // ---- on a worker thread

    BlockStatus read(BlockRequest request) {
        ByteBuf data = request.data();
        int length = request.dataLength();
        if (data.hasMemoryAddress() && isAlignedFor(request)) {
            return file.read(fdFor(request), data.memoryAddress(), length, request.offsetBytes());
        }
        IoScratch scratch = IoScratch.ofThisThread();
        Fd by = rangeIsAligned(request) ? dataFd() : file.cachedFd();
        for (int done = 0; done < length; ) {
            int now = Math.min(IoScratch.BOUNCE_BYTES, length - done);
            BlockStatus status = file.read(by, scratch.bounceAddress(), now, request.offsetBytes() + done);
            if (status != BlockStatus.OK) {
                return status;
            }
            data.setBytes(done, scratch.bounce(now));
            done += now;
        }
        return BlockStatus.OK;
    }

    BlockStatus write(BlockRequest request) {
        ByteBuf data = request.data();
        int length = request.dataLength();
        long offset = request.offsetBytes();
        if (data.hasMemoryAddress() && isAlignedFor(request)) {
            return write(request, fdFor(request), data.memoryAddress(), length, offset);
        }
        IoScratch scratch = IoScratch.ofThisThread();
        Fd by = rangeIsAligned(request) ? dataFd() : file.cachedFd();
        for (int done = 0; done < length; ) {
            int now = Math.min(IoScratch.BOUNCE_BYTES, length - done);
            data.getBytes(done, scratch.bounce(now));
            BlockStatus status = write(request, by, scratch.bounceAddress(), now, offset + done);
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

    private boolean isAlignedFor(BlockRequest request) {
        return config.caching() == BlockFile.Caching.CACHED
                || !rangeIsAligned(request)
                || isAligned(request, file.sectorBytes());
    }

    private boolean rangeIsAligned(BlockRequest request) {
        return ((request.offsetBytes() | request.lengthBytes()) & file.sectorBytes() - 1) == 0;
    }

    /** Ranges that are no whole sectors go through the page cache, where the kernel reads, changes and writes the sector under its own lock. */
    private Fd fdFor(BlockRequest request) {
        return rangeIsAligned(request) ? dataFd() : file.cachedFd();
    }

    BlockStatus zero(BlockRequest request) {
        BlockStatus status = file.zero(
                request.offsetBytes(),
                request.lengthBytes(),
                (request.flags() & BlockRequest.KEEP_ALLOCATED) != 0
                        ? BlockFile.Allocation.KEEP
                        : BlockFile.Allocation.MAY_FREE,
                (request.flags() & BlockRequest.FAST_ONLY) != 0 ? BlockFile.Speed.FAST_ONLY : BlockFile.Speed.ANY);
        return status == BlockStatus.OK && request.isFua() ? file.sync() : status;
    }

    @Override
    public void close() {
        queues.values().forEach(UringFileQueue::close);
        if (ownLoop != null) {
            ownLoop.release();
        }
        file.close();
    }
}

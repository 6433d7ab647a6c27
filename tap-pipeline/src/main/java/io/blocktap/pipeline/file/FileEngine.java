package io.blocktap.pipeline.file;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.SerialLane;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.transport.sys.Errno;
import io.netty.buffer.ByteBuf;
import io.netty.channel.EventLoop;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Does requests in a file without ever letting an event loop wait: for all terminators that keep data in files. The range of a request is a range of the file ({@link
 * BlockRequest#setOffsetBytes} moves it there).
 *
 * <p>On the loop itself: reads of what is in the page cache, writes where the file system can promise not to wait, everything short in a file in memory, and, if asked for, all short cached writes. To io_uring: reads and writes past the page
 * cache. To one worker at a time: cached writes, which exclude each other in the kernel anyway, and flushes, of which one counts for all that were waiting. To all workers: the rest, and
 * whatever io_uring did not do to the end; so there is one place where errors are found out. The reasons: {@code docs/decisions/0003-file-io-engine.md}.
 *
 * <p>Any thread, several event loops at a time.
 */
public final class FileEngine implements AutoCloseable {
    /** Who does what may wait. */
    public enum Io {
        /** What measured best: io_uring for direct I/O if there is one, else threads. */
        AUTO,
        /** io_uring for reads and writes. */
        URING,
        /** The worker threads. */
        THREADS,
        /** As AUTO, but short cached writes are done on the event loop: when one waits, the loop does, with all that it serves. */
        LOOP;

        /** The stages' option for it. */
        public static final OptionSpec OPTION = OptionSpec.choice(
                "io",
                "auto",
                List.of("auto", "uring", "threads", "loop"),
                "who does what may wait: io_uring or worker threads; loop: the event loop does short cached writes, for disks that have a server of their own");

        /** Returns the value of {@link #OPTION}. */
        public static Io of(OptionValues values) {
            return valueOf(values.choice("io").toUpperCase(Locale.ROOT));
        }
    }

    /** What is read on the loop is not longer than this: moving it takes some 100 us, about as long as the loop needs to send it. */
    private static final int INLINE_READ_BYTES = 1 << 20;
    /** What is written on the loop is not longer than this: besides being moved it may need pages. */
    private static final int INLINE_WRITE_BYTES = 256 << 10;

    private final BlockFile file;
    private final WorkerPool workers;
    private final boolean isDirect;
    private final Transfers transfers;
    private final SerialLane writes;
    private final SerialLane flushes;
    private final WorkerPool.Work read;
    private final WorkerPool.Work write;
    private final WorkerPool.Work gatedWrite = this::gatedWrite;
    private final WorkerPool.Work aloneWrite = this::aloneWrite;
    private final WorkerPool.Work discard;
    private final WriteGate gate;
    private final Map<EventLoop, UringFileQueue> queues = new ConcurrentHashMap<>();
    private final @Nullable UringLoop ownLoop;
    private final boolean cachedByUring;
    private final boolean mayWriteOnLoop;

    /**
     * Takes over an open file.
     *
     * @param file closed by {@link #close}; stays the caller's if this fails
     * @throws StageException if io_uring is asked for and there is none
     */
    public FileEngine(BlockFile file, Io io, WorkerPool workers) throws StageException {
        this.file = file;
        this.workers = workers;
        this.isDirect = file.directFd() != null;
        this.transfers = new Transfers(file);
        this.read = transfers::read;
        this.write = this::write;
        this.discard = request -> file.discard(request.offsetBytes(), request.lengthBytes());
        this.writes = new SerialLane(workers, write, SerialLane.Answers.EACH);
        this.flushes = new SerialLane(workers, request -> file.sync(), SerialLane.Answers.ALL_WAITING);
        this.gate = new WriteGate(new Starter());
        this.cachedByUring = io == Io.URING;
        this.mayWriteOnLoop = io == Io.LOOP || file.isInMemory();
        if (io == Io.THREADS || io != Io.URING && !(isDirect && UringLoop.isAvailable())) {
            ownLoop = null;
        } else if (UringLoop.isAvailable()) {
            ownLoop = UringLoop.acquire();
            queues.put(ownLoop.loop(), UringFileQueue.open(ownLoop.loop(), file.dataFd(), this::uringEnded));
        } else {
            throw new StageException("io=uring, but this machine has no io_uring (" + UringLoop.unavailabilityReason()
                    + "); use io=threads");
        }
    }

    /** Returns the file, for work that may wait. */
    public BlockFile file() {
        return file;
    }

    // ---- on the event loop

    /**
     * Starts a request whose range lies in the file.
     *
     * @return RESPOND if it is answered, STOLEN if it will be
     */
    public Verdict start(BlockRequest request) {
        return switch (request.op()) {
            case READ -> startRead(request);
            case WRITE -> isDirect ? startGated(request) : startCachedWrite(request);
            case WRITE_ZEROES -> isDirect ? startGated(request) : onWorkers(request, write);
            case DISCARD -> onWorkers(request, discard);
            case FLUSH -> {
                flushes.submit(request);
                yield Verdict.STOLEN;
            }
        };
    }

    private Verdict onWorkers(BlockRequest request, WorkerPool.Work work) {
        workers.submit(request, work);
        return Verdict.STOLEN;
    }

    private Verdict startRead(BlockRequest request) {
        ByteBuf data = request.data();
        int length = request.dataLength();
        if (!isDirect && data.hasMemoryAddress() && length <= INLINE_READ_BYTES) {
            if (file.isInMemory()) {
                return request.respond(transfers.read(request));
            }
            IoScratch scratch = IoScratch.ofThisThread();
            if (file.tryRead(scratch.address(), scratch.view(), data.memoryAddress(), length, request.offsetBytes())
                    == length) {
                return request.respond(BlockStatus.OK);
            }
        }
        if (ownLoop != null && data.hasMemoryAddress() && (!isDirect || transfers.isAligned(request))) {
            submitToUring(request);
            return Verdict.STOLEN;
        }
        return onWorkers(request, read);
    }

    private Verdict startCachedWrite(BlockRequest request) {
        ByteBuf data = request.data();
        int length = request.dataLength();
        if (request.isFua()) {
            // Waits for the device; several at a time share its flushes.
            return submitCached(request, data);
        }
        if (data.hasMemoryAddress() && length <= INLINE_WRITE_BYTES) {
            if (mayWriteOnLoop) {
                return request.respond(transfers.write(request));
            }
            IoScratch scratch = IoScratch.ofThisThread();
            if (file.tryWrite(scratch.address(), scratch.view(), data.memoryAddress(), length, request.offsetBytes())
                    == length) {
                return request.respond(BlockStatus.OK);
            }
        }
        if (cachedByUring) {
            return submitCached(request, data);
        }
        writes.submit(request);
        return Verdict.STOLEN;
    }

    private Verdict submitCached(BlockRequest request, ByteBuf data) {
        if (!cachedByUring || !data.hasMemoryAddress() || file.isPoisoned()) {
            return onWorkers(request, write);
        }
        submitToUring(request);
        return Verdict.STOLEN;
    }

    // ---- past the page cache

    private Verdict startGated(BlockRequest request) {
        if (!transfers.rangeIsAligned(request)) {
            gate.enterAlone(request);
        } else if (gate.enterShared(request)) {
            submitGated(request);
        }
        return Verdict.STOLEN;
    }

    private void submitGated(BlockRequest request) {
        if (ownLoop != null
                && request.op() == BlockOp.WRITE
                && request.data().hasMemoryAddress()
                && transfers.isAligned(request)
                && !file.isPoisoned()) {
            submitToUring(request);
        } else {
            workers.submit(request, gatedWrite);
        }
    }

    private final class Starter implements WriteGate.Starter {
        @Override
        public void startShared(BlockRequest request) {
            submitGated(request);
        }

        @Override
        public void startAlone(BlockRequest request) {
            workers.submit(request, aloneWrite);
        }
    }

    // ---- io_uring

    private void submitToUring(BlockRequest request) {
        EventLoop itsLoop = request.stream().eventLoop();
        UringFileQueue queue = queues.get(itsLoop);
        if (queue == null) {
            queue = queueFor(itsLoop);
        }
        queue.submit(request);
    }

    /** The request's own loop if that runs on io_uring and is calling: no thread hop. Else the loop of our own. */
    private UringFileQueue queueFor(EventLoop itsLoop) {
        if (UringFileQueue.isUring(itsLoop) && itsLoop.inEventLoop()) {
            return queues.computeIfAbsent(
                    itsLoop, loop -> UringFileQueue.openInLoop(loop, file.dataFd(), this::uringEnded));
        }
        return Objects.requireNonNull(queues.get(Objects.requireNonNull(ownLoop).loop()));
    }

    /** On an io_uring loop. What was not done to the end is done over in the blocking way, which finds out what is wrong. */
    private void uringEnded(BlockRequest request, int result) {
        boolean isGated = isDirect && request.op() == BlockOp.WRITE;
        BlockStatus status = BlockStatus.OK;
        if (result == -Errno.EIO && request.isFua()) {
            // Not to be done over: the second time it may succeed, and what the first lost would be forgotten.
            status = file.durableWriteFailed(request.offsetBytes(), Errno.EIO);
        } else if (result != request.dataLength()) {
            workers.submit(request, isGated ? gatedWrite : request.op() == BlockOp.READ ? read : write);
            return;
        }
        if (isGated) {
            gate.leaveShared();
        }
        request.complete(status);
    }

    // ---- on a worker thread

    private BlockStatus write(BlockRequest request) {
        return request.op() == BlockOp.WRITE ? transfers.write(request) : zero(request);
    }

    private BlockStatus gatedWrite(BlockRequest request) {
        try {
            return write(request);
        } finally {
            gate.leaveShared();
        }
    }

    private BlockStatus aloneWrite(BlockRequest request) {
        try {
            return write(request);
        } finally {
            gate.leaveAlone();
        }
    }

    private BlockStatus zero(BlockRequest request) {
        BlockStatus status = file.zero(
                request.offsetBytes(),
                request.lengthBytes(),
                (request.flags() & BlockRequest.KEEP_ALLOCATED) != 0
                        ? BlockFile.Allocation.KEEP
                        : BlockFile.Allocation.MAY_FREE,
                (request.flags() & BlockRequest.FAST_ONLY) != 0 ? BlockFile.Speed.FAST_ONLY : BlockFile.Speed.ANY);
        return status == BlockStatus.OK && request.isFua() ? file.sync() : status;
    }

    /** Closes the file. Nothing may be in flight any more; not on an event loop. */
    @Override
    public void close() {
        try {
            queues.values().forEach(UringFileQueue::close);
            if (ownLoop != null) {
                ownLoop.release();
            }
        } finally {
            file.close();
        }
    }
}

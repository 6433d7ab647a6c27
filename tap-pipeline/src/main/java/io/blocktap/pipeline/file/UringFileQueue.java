package io.blocktap.pipeline.file;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.netty.channel.EventLoop;
import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoHandle;
import io.netty.channel.uring.IoUringIoHandler;
import io.netty.channel.uring.IoUringIoOps;
import io.netty.util.concurrent.Future;
import java.util.ArrayDeque;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads and writes of one file on one io_uring event loop. Requests that live on that very loop are submitted and completed without a thread hop; others are
 * handed over, and come back as answers from another thread do.
 *
 * <p>Each submission makes one small object: Netty's {@code IoUringIoOps} can't be recycled. Source: {@code linux/io_uring.h}.
 */
final class UringFileQueue implements AutoCloseable {
    /** Hears how transfers ended. */
    @FunctionalInterface
    interface Listener {
        /**
         * Takes a request back. Called on the io_uring loop; must not wait.
         *
         * @param result bytes moved, which may be fewer than asked for, or {@code -errno}
         */
        void ended(BlockRequest request, int result);
    }

    private static final Logger LOG = LoggerFactory.getLogger(UringFileQueue.class);
    private static final byte IORING_OP_READ = 22;
    private static final byte IORING_OP_WRITE = 23;
    private static final int RWF_DSYNC = 2;
    private static final int MAX_SUBMITTED = 1024;

    private final IoEventLoop loop;
    private final Fd fd;
    private final Listener listener;
    private final ConcurrentLinkedQueue<BlockRequest> handedOver = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean taking = new AtomicBoolean();
    private final Runnable takeHandedOver = this::takeHandedOver;
    private volatile @Nullable IoRegistration registration;

    // Confined to the loop.
    private final BlockRequest[] submitted = new BlockRequest[MAX_SUBMITTED];
    private final short[] freeSlots = new short[MAX_SUBMITTED];
    private int freeCount;
    private final ArrayDeque<BlockRequest> waiting = new ArrayDeque<>();

    private UringFileQueue(IoEventLoop loop, Fd fd, Listener listener) {
        this.loop = loop;
        this.fd = fd;
        this.listener = listener;
        for (short i = 0; i < MAX_SUBMITTED; i++) {
            freeSlots[freeCount++] = i;
        }
    }

    /** Returns whether a loop runs on io_uring. */
    static boolean isUring(EventLoop loop) {
        return loop instanceof IoEventLoop io && io.isIoType(IoUringIoHandler.class);
    }

    /**
     * Opens a queue on a loop; waits until it is registered, so not on that loop.
     *
     * @param fd stays owned by the caller, who closes it after the queue
     */
    static UringFileQueue open(EventLoop loop, Fd fd, Listener listener) {
        UringFileQueue queue = new UringFileQueue((IoEventLoop) loop, fd, listener);
        Future<IoRegistration> registered = queue.loop.register(queue.new Handle());
        queue.registration = registered.syncUninterruptibly().getNow();
        return queue;
    }

    /** Opens a queue on the loop that is calling. What is submitted before it is registered is refused with EAGAIN. */
    static UringFileQueue openInLoop(EventLoop loop, Fd fd, Listener listener) {
        UringFileQueue queue = new UringFileQueue((IoEventLoop) loop, fd, listener);
        queue.loop.register(queue.new Handle()).addListener((Future<IoRegistration> future) -> {
            if (future.isSuccess()) {
                queue.registration = future.getNow();
            } else {
                LOG.warn("{} takes no file; worker threads do its I/O", loop, future.cause());
            }
        });
        return queue;
    }

    /** Submits a stolen READ or WRITE with a data buffer that has a memory address. Any thread that holds the request. */
    void submit(BlockRequest request) {
        if (loop.inEventLoop()) {
            submitInLoop(request);
        } else {
            handedOver.add(request);
            if (!taking.getAndSet(true)) {
                loop.execute(takeHandedOver);
            }
        }
    }

    private void takeHandedOver() {
        // Before the queue is looked at: what is added after the last look finds it false, and calls again.
        taking.set(false);
        BlockRequest request;
        while ((request = handedOver.poll()) != null) {
            submitInLoop(request);
        }
    }

    private void submitInLoop(BlockRequest request) {
        IoRegistration current = registration;
        if (current == null || !current.isValid()) {
            end(request, -Errno.EAGAIN);
        } else if (freeCount == 0) {
            waiting.add(request);
        } else {
            short slot = freeSlots[--freeCount];
            submitted[slot] = request;
            current.submit(operation(request, slot));
        }
    }

    private IoUringIoOps operation(BlockRequest request, short slot) {
        return new IoUringIoOps(
                request.op() == BlockOp.READ ? IORING_OP_READ : IORING_OP_WRITE,
                (byte) 0,
                (short) 0,
                fd.number(),
                request.offsetBytes(),
                request.data().memoryAddress(),
                request.dataLength(),
                request.isFua() ? RWF_DSYNC : 0,
                (long) slot,
                (short) 0,
                (short) 0,
                0,
                0L);
    }

    private void completed(short slot, int result) {
        BlockRequest request = submitted[slot];
        freeSlots[freeCount++] = slot;
        if (result == -Errno.EINTR) {
            submitInLoop(request);
            return;
        }
        end(request, result);
        BlockRequest next = waiting.poll();
        if (next != null) {
            submitInLoop(next);
        }
    }

    /** What is thrown here would have the event loop sleep for a second. */
    private void end(BlockRequest request, int result) {
        try {
            listener.ended(request, result);
        } catch (RuntimeException e) {
            LOG.error("{} ended with {}, and that failed", request, result, e);
        }
    }

    /** Deregisters; nothing may be in flight any more. Any thread. */
    @Override
    public void close() {
        IoRegistration current = registration;
        if (current != null && current.isValid()) {
            try {
                current.cancel();
            } catch (RejectedExecutionException e) {
                LOG.debug("{} has ended, and the registration with it", loop);
            }
        }
    }

    private final class Handle implements IoUringIoHandle {
        @Override
        public void handle(IoRegistration itsRegistration, IoEvent event) {
            IoUringIoEvent completion = (IoUringIoEvent) event;
            completed((short) completion.userData(), completion.res());
        }

        @Override
        public void close() {
            UringFileQueue.this.close();
        }
    }
}

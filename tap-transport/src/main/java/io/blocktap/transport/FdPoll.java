package io.blocktap.transport;

import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.netty.channel.EventLoop;
import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoOps;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoEvent;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.netty.channel.unix.FileDescriptor;
import io.netty.channel.uring.IoUring;
import io.netty.channel.uring.IoUringIoEvent;
import io.netty.channel.uring.IoUringIoHandle;
import io.netty.channel.uring.IoUringIoHandler;
import io.netty.channel.uring.IoUringIoOps;
import io.netty.util.concurrent.Future;
import io.netty.util.concurrent.ImmediateEventExecutor;
import io.netty.util.concurrent.Promise;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Watches one file descriptor on an event loop, epoll or io_uring, edge-triggered unless told otherwise: the listener is called when the descriptor <em>becomes</em>
 * ready, and must then take all there is. (In 2005: {@code blktap_attach_poll} and {@code blktap_detach_poll}.)
 *
 * <p>The descriptor stays owned by the caller, who detaches before closing it. One descriptor can be watched once a loop (dup it for
 * more). Threads: {@link #attach} and {@link #detach} from any thread; the listener is called on the loop.
 */
public final class FdPoll {
    /** Readable; the value of {@code EPOLLIN} and {@code POLLIN}. */
    public static final int IN = 0x1;
    /** Writable. */
    public static final int OUT = 0x4;
    /** Error; always watched. */
    public static final int ERR = 0x8;
    /** Hang-up; always watched. */
    public static final int HUP = 0x10;
    /** The peer has closed its writing half. */
    public static final int RDHUP = 0x2000;

    /** Hears that a descriptor became ready. */
    @FunctionalInterface
    public interface Listener {
        /**
         * Called on the event loop. What it throws is logged, and nothing else happens.
         *
         * @param events a set of {@link FdPoll#IN} and so on
         */
        void ready(int events);
    }

    /** What the listener hears of a descriptor that stays ready. */
    public enum Trigger {
        /** Nothing: it was told when the descriptor became ready. */
        EDGE,
        /**
         * That it is ready, before each sleep of the loop, where the loop can do that (epoll; an io_uring loop can not, see {@link FdPoll#isLevelTriggered}). The
         * listener need not make sure then that nothing is left.
         */
        LEVEL
    }

    private static final Logger LOG = LoggerFactory.getLogger(FdPoll.class);
    private static final int EDGE = 1 << 31;
    // linux/io_uring.h
    private static final byte IORING_OP_POLL_ADD = 6;
    private static final byte IORING_OP_ASYNC_CANCEL = 14;
    private static final int IORING_POLL_ADD_MULTI = 1;
    private static final int IORING_CQE_F_MORE = 2;
    private static final int ECANCELED = 125;
    private static final long POLL_DATA = 1;
    private static final long CANCEL_DATA = 2;

    private final Fd fd;
    private final int events;
    private final Trigger trigger;
    private final Listener listener;
    private final Runnable onLoopShutdown;
    private final Handle handle = new Handle();
    private @Nullable IoRegistration registration;
    private volatile @Nullable EventLoop loop;
    private boolean onUring;
    private long armed;
    private volatile boolean detached;

    FdPoll(Fd fd, int events, Listener listener, Runnable onLoopShutdown) {
        this(fd, events, Trigger.EDGE, listener, onLoopShutdown);
    }

    private FdPoll(Fd fd, int events, Trigger trigger, Listener listener, Runnable onLoopShutdown) {
        this.fd = fd;
        this.events = events;
        this.trigger = trigger;
        this.listener = listener;
        this.onLoopShutdown = onLoopShutdown;
    }

    /**
     * Returns whether a loop can watch descriptors: one of Netty's epoll loops, or of its io_uring loops on Linux 5.13 or later. (Before that there is
     * no poll that stays armed, and an armed-anew one reports an eventfd that nobody reads without end.)
     */
    public static boolean isCompatible(EventLoop loop) {
        return loop instanceof IoEventLoop io
                && io.isCompatible(Handle.class)
                && (!io.isIoType(IoUringIoHandler.class) || IoUring.isPollAddMultishotEnabled());
    }

    /**
     * Watches a descriptor until {@link #detach} or the end of the loop.
     *
     * @param loop an epoll or io_uring loop
     * @param fd a pollable descriptor (not a regular file), owned by the caller
     * @param events a set of {@link #IN}, {@link #OUT}, {@link #RDHUP}
     * @param listener called on the loop; also once at the beginning if the descriptor is ready already
     * @return completes when it is watched; fails with a {@link TapException} if that is not possible
     */
    public static Future<FdPoll> attach(EventLoop loop, Fd fd, int events, Listener listener) {
        return attach(loop, fd, events, listener, () -> {});
    }

    /**
     * As {@link #attach(EventLoop, Fd, int, Listener)}, for an owner who must do something when the loop ends.
     *
     * @param onLoopShutdown called on the loop if it ends while the descriptor is watched
     */
    public static Future<FdPoll> attach(EventLoop loop, Fd fd, int events, Listener listener, Runnable onLoopShutdown) {
        return attach(loop, fd, events, Trigger.EDGE, listener, onLoopShutdown);
    }

    /** As {@link #attach(EventLoop, Fd, int, Listener, Runnable)}, for a listener that may leave something for the next call. */
    public static Future<FdPoll> attach(
            EventLoop loop, Fd fd, int events, Trigger trigger, Listener listener, Runnable onLoopShutdown) {
        FdPoll poll = new FdPoll(fd, events, trigger, listener, onLoopShutdown);
        Future<Object> registered = poll.register(loop);
        if (registered.cause() != null) {
            return ImmediateEventExecutor.INSTANCE.newFailedFuture(registered.cause());
        }
        Promise<FdPoll> result = loop.newPromise();
        registered.addListener((Future<Object> future) -> {
            if (future.isSuccess()) {
                result.setSuccess(poll);
            } else {
                result.setFailure(future.cause());
            }
        });
        return result;
    }

    /** Returns whether the listener is called for as long as the descriptor is ready. On the loop, once it is attached. */
    public boolean isLevelTriggered() {
        return trigger == Trigger.LEVEL && !onUring;
    }

    /** Registers on the loop and begins to watch. */
    Future<Object> register(EventLoop newLoop) {
        Promise<Object> result = newLoop.newPromise();
        if (!isCompatible(newLoop)) {
            return result.setFailure(new TapException(
                    "an epoll event loop, or an io_uring one on Linux 5.13 or later, is needed, not " + newLoop));
        }
        if (isAlwaysReady()) {
            return result.setFailure(new TapException(fd
                    + " can not be watched: a file or folder is always ready; only pipes, sockets and the like wait"));
        }
        try {
            ((IoEventLoop) newLoop).register(handle).addListener((Future<IoRegistration> future) -> {
                if (future.isSuccess()) {
                    registered(newLoop, future.getNow(), result);
                } else {
                    result.setFailure(future.cause());
                }
            });
        } catch (RejectedExecutionException e) {
            // Outside of the loop, which notifies nobody any more.
            return ImmediateEventExecutor.INSTANCE.newFailedFuture(
                    new TapException(fd + " can not be watched: the event loop has ended", e));
        }
        return result;
    }

    private void registered(EventLoop newLoop, IoRegistration newRegistration, Promise<Object> result) {
        loop = newLoop;
        onUring = ((IoEventLoop) newLoop).isIoType(IoUringIoHandler.class);
        registration = newRegistration;
        if (detached) {
            detachInLoop();
            result.setFailure(new TapException(fd + " was detached before it could be watched"));
            return;
        }
        try {
            arm();
            result.setSuccess(this);
        } catch (RuntimeException e) {
            newRegistration.cancel();
            registration = null;
            result.setFailure(new TapException(fd + " can not be watched: " + e.getMessage(), e));
        }
    }

    /**
     * epoll refuses files by itself; io_uring reports them ready once and is silent from then on. What looks like a file below {@code /proc} may be a device
     * ({@code /proc/xen/xenbus}).
     */
    private boolean isAlwaysReady() {
        Path link = Path.of("/proc/self/fd/" + fd.number());
        return Files.isDirectory(link) || Files.isRegularFile(link) && !isBelowProc(link);
    }

    private static boolean isBelowProc(Path link) {
        try {
            return Files.readSymbolicLink(link).startsWith("/proc");
        } catch (IOException e) {
            return false;
        }
    }

    private void arm() {
        IoRegistration current = registration;
        if (current == null || detached) {
            return;
        }
        armed = current.submit(onUring ? pollAdd() : EpollIoOps.valueOf(isLevelTriggered() ? events : events | EDGE));
    }

    private IoOps pollAdd() {
        return new IoUringIoOps(
                IORING_OP_POLL_ADD,
                (byte) 0,
                (short) 0,
                fd.number(),
                0,
                0,
                IORING_POLL_ADD_MULTI,
                events,
                POLL_DATA,
                (short) 0,
                (short) 0,
                0,
                0);
    }

    /**
     * Stops watching. On the loop the listener is not called any more once this has returned; from another thread, once the returned future has completed.
     * Only then close the descriptor: its number may be given out anew at once.
     *
     * @return completes when nothing is watched any more
     */
    public Future<Void> detach() {
        detached = true;
        EventLoop current = loop;
        if (current == null) {
            return ImmediateEventExecutor.INSTANCE.newSucceededFuture(null);
        }
        if (current.inEventLoop()) {
            detachInLoop();
            return current.newSucceededFuture(null);
        }
        Promise<Void> result = current.newPromise();
        try {
            current.execute(() -> {
                detachInLoop();
                result.setSuccess(null);
            });
        } catch (RejectedExecutionException e) {
            return ImmediateEventExecutor.INSTANCE.newSucceededFuture(null); // the loop has ended, and let go of all
        }
        return result;
    }

    private void detachInLoop() {
        IoRegistration current = registration;
        if (current == null) {
            return;
        }
        registration = null;
        if (onUring && current.isValid()) {
            // A multishot poll keeps its file open in the kernel until it is cancelled.
            current.submit(new IoUringIoOps(
                    IORING_OP_ASYNC_CANCEL,
                    (byte) 0,
                    (short) 0,
                    -1,
                    0,
                    armed,
                    0,
                    0,
                    CANCEL_DATA,
                    (short) 0,
                    (short) 0,
                    0,
                    0));
        }
        current.cancel();
    }

    private void tell(int ready) {
        if (detached) {
            return;
        }
        try {
            listener.ready(ready);
        } catch (Throwable t) {
            // Out of handle() it would make the loop sleep for a second.
            LOG.error("listener of {} failed", fd, t);
        }
    }

    /** What the loop calls; works on both kinds of loop. */
    private final class Handle implements EpollIoHandle, IoUringIoHandle {
        @Override
        public FileDescriptor fd() {
            return fd.nettyView();
        }

        @Override
        public void handle(IoRegistration itsRegistration, IoEvent event) {
            if (event instanceof EpollIoEvent epoll) {
                tell(epoll.ops().value());
            } else if (event instanceof IoUringIoEvent uring && uring.opcode() == IORING_OP_POLL_ADD) {
                handleCompletion(uring.res(), uring.flags());
            }
        }

        private void handleCompletion(int result, int flags) {
            if (result == -ECANCELED || detached) {
                return;
            }
            if (result < 0) {
                // Armed again it would fail again, without end.
                LOG.error("{} is not watched any more: {}", fd, Errno.describe(-result));
                tell(ERR);
                return;
            }
            boolean more = (flags & IORING_CQE_F_MORE) != 0;
            if (!more) {
                // Arm again before taking what is there: what comes in between is then seen by one of the two.
                arm();
            }
            tell(result);
        }

        @Override
        public void close() {
            detached = true;
            detachInLoop();
            onLoopShutdown.run();
        }
    }
}

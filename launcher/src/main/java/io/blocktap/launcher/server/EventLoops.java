package io.blocktap.launcher.server;

import io.blocktap.pipeline.StageException;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.uring.IoUring;
import io.netty.channel.uring.IoUringIoHandler;
import io.netty.channel.uring.IoUringIoHandlerConfig;
import io.netty.util.concurrent.FastThreadLocalThread;
import java.time.Duration;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** Makes groups of event loops, and says which kinds this machine has. The first use loads Netty's native code. */
public final class EventLoops {
    /** Room for a full ring of 16 pages (512 slots) with several file operations each, without an extra submit. */
    private static final int URING_ENTRIES = 4096;

    private EventLoops() {}

    /** Returns how many loops there are unless told otherwise: half the processors, at least 1. */
    static int defaultThreads() {
        return Math.max(1, Runtime.getRuntime().availableProcessors() / 2);
    }

    /** Makes a group that sleeps as soon as there is nothing to do; see {@link #create(EventLoopKind, int, Duration)}. */
    public static EventLoopGroup create(EventLoopKind kind, int threads) throws StageException {
        return create(kind, threads, Duration.ZERO);
    }

    /**
     * Makes a group whose threads are named {@code blocktap-loop-N}.
     *
     * @param kind what they wait on
     * @param threads how many, 1 or more
     * @param busyPoll the longest that one looks for events before it sleeps; 0 for never. On epoll only
     * @throws StageException if this machine can not do it
     */
    public static EventLoopGroup create(EventLoopKind kind, int threads, Duration busyPoll) throws StageException {
        String missing = missing(kind);
        if (missing != null) {
            String instead = kind == EventLoopKind.IO_URING ? "; --event-loop epoll needs no io_uring" : "";
            throw new StageException("event loops: no " + kind.word() + " here: " + missing + instead);
        }
        IoHandlerFactory handlers = kind == EventLoopKind.IO_URING
                ? IoUringIoHandler.newFactory(new IoUringIoHandlerConfig().setRingSize(URING_ENTRIES))
                : EpollIoHandler.newFactory();
        // Netty and the taps know a loop on io_uring by the class of its handler, so that one stays as it is.
        if (busyPoll.toNanos() > 0 && kind != EventLoopKind.IO_URING) {
            handlers = PollingIoHandler.factory(handlers, busyPoll.toNanos());
        }
        return new MultiThreadIoEventLoopGroup(threads, new LoopThreads(), handlers);
    }

    /** Returns how long loops look for events before they sleep, unless told otherwise: not at all if that would keep the only processor from the clients. */
    static Duration defaultBusyPoll() {
        return Runtime.getRuntime().availableProcessors() > 1 ? Duration.ofNanos(100_000) : Duration.ZERO;
    }

    /** Returns why a kind of loop can not be had on this machine, in one line; null if it can. */
    public static @Nullable String missing(EventLoopKind kind) {
        Throwable cause = kind == EventLoopKind.IO_URING ? IoUring.unavailabilityCause() : Epoll.unavailabilityCause();
        if (cause == null) {
            return null;
        }
        while (cause.getCause() != null && cause.getCause() != cause) {
            cause = cause.getCause();
        }
        return String.valueOf(cause.getMessage()).lines().findFirst().orElse(cause.toString());
    }

    private static final class LoopThreads implements ThreadFactory {
        private final AtomicInteger made = new AtomicInteger();

        @Override
        public Thread newThread(Runnable task) {
            return new FastThreadLocalThread(task, "blocktap-loop-" + made.incrementAndGet());
        }
    }
}

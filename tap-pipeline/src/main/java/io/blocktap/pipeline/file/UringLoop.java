package io.blocktap.pipeline.file;

import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.uring.IoUring;
import io.netty.channel.uring.IoUringIoHandler;
import io.netty.channel.uring.IoUringIoHandlerConfig;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** The one io_uring loop of the process that files use whose requests live on epoll loops. Made when it is first wanted, ended when nobody wants it any more. */
public final class UringLoop {
    private static final int RING_SIZE = 1024;
    private static @Nullable EventLoopGroup shared;
    private static int users;

    private final EventLoop loop;

    private UringLoop(EventLoop loop) {
        this.loop = loop;
    }

    /** Returns whether this machine has io_uring, and lets us use it. */
    public static boolean isAvailable() {
        return IoUring.isAvailable();
    }

    /** Returns why not, in words. */
    public static String unavailabilityReason() {
        Throwable cause = IoUring.unavailabilityCause();
        return cause == null ? "it has" : String.valueOf(cause.getMessage());
    }

    /** Returns the loop, to be given back by {@link #release}. */
    static synchronized UringLoop acquire() {
        EventLoopGroup group = shared;
        if (group == null) {
            group = new MultiThreadIoEventLoopGroup(
                    1,
                    new DefaultThreadFactory("blocktap-uring", true),
                    IoUringIoHandler.newFactory(new IoUringIoHandlerConfig().setRingSize(RING_SIZE)));
            shared = group;
        }
        users++;
        return new UringLoop(group.next());
    }

    /** Returns the loop. */
    EventLoop loop() {
        return loop;
    }

    /** Gives the loop back. Not on the loop. */
    void release() {
        EventLoopGroup unused = null;
        synchronized (UringLoop.class) {
            if (--users == 0) {
                unused = shared;
                shared = null;
            }
        }
        if (unused != null) {
            unused.shutdownGracefully(1, 5000, TimeUnit.MILLISECONDS).awaitUninterruptibly(6, TimeUnit.SECONDS);
        }
    }
}

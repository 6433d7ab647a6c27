package io.blocktap.transport;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.uring.IoUring;
import io.netty.channel.uring.IoUringIoHandler;
import java.util.concurrent.TimeUnit;

/** The two kinds of event loops that every channel must run on. */
public enum LoopKind {
    EPOLL,
    IO_URING;

    /** Makes a group of loops; skips the test where the kernel or the container has no io_uring. */
    public EventLoopGroup newGroup(int threads) {
        if (this == EPOLL) {
            return new MultiThreadIoEventLoopGroup(threads, EpollIoHandler.newFactory());
        }
        assumeTrue(IoUring.isAvailable(), () -> "no io_uring: " + IoUring.unavailabilityCause());
        return new MultiThreadIoEventLoopGroup(threads, IoUringIoHandler.newFactory());
    }

    /**
     * Ends a group and waits for it. Not with a quiet period of 0: Netty's loop may then end without having closed its handles (it looks
     * whether it is to end once before and once after its tasks).
     */
    public static void end(EventLoopGroup group) {
        group.shutdownGracefully(1, 10_000, TimeUnit.MILLISECONDS).awaitUninterruptibly();
    }
}

package io.blocktap.pipeline.tap;

import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelPromise;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.util.concurrent.AbstractEventExecutorGroup;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.Future;
import java.util.Iterator;
import java.util.concurrent.TimeUnit;
import java.util.function.BiFunction;

/**
 * A child group for server bootstraps that chooses the loop by the channel: disks that are confined to one loop get all their channels there. It owns no loops;
 * shutting it down does nothing.
 */
public final class SteeredLoopGroup extends AbstractEventExecutorGroup implements EventLoopGroup {
    private final EventLoopGroup group;
    private final BiFunction<Channel, EventLoop, EventLoop> choice;

    /**
     * Wraps a group.
     *
     * @param group the loops to choose from
     * @param choice given a channel and the next loop in turn, returns the loop for it
     */
    public SteeredLoopGroup(EventLoopGroup group, BiFunction<Channel, EventLoop, EventLoop> choice) {
        this.group = group;
        this.choice = choice;
    }

    @Override
    public EventLoop next() {
        return group.next();
    }

    @Override
    public ChannelFuture register(Channel channel) {
        return choice.apply(channel, group.next()).register(channel);
    }

    @Override
    public ChannelFuture register(ChannelPromise promise) {
        return choice.apply(promise.channel(), group.next()).register(promise);
    }

    @Override
    @Deprecated
    public ChannelFuture register(Channel channel, ChannelPromise promise) {
        return choice.apply(channel, group.next()).register(promise);
    }

    @Override
    public Iterator<EventExecutor> iterator() {
        return group.iterator();
    }

    @Override
    public boolean isShuttingDown() {
        return group.isShuttingDown();
    }

    @Override
    public Future<?> shutdownGracefully(long quietPeriod, long timeout, TimeUnit unit) {
        return group.next().newSucceededFuture(null);
    }

    @Override
    public Future<?> terminationFuture() {
        return group.terminationFuture();
    }

    @Override
    @Deprecated
    public void shutdown() {
        // the group belongs to somebody else
    }

    @Override
    public boolean isShutdown() {
        return group.isShutdown();
    }

    @Override
    public boolean isTerminated() {
        return group.isTerminated();
    }

    @Override
    public boolean awaitTermination(long timeout, TimeUnit unit) throws InterruptedException {
        return group.awaitTermination(timeout, unit);
    }
}

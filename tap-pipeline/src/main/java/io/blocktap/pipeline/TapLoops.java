package io.blocktap.pipeline;

import io.blocktap.transport.memory.MemoryBudget;
import io.blocktap.transport.memory.SlabAllocator;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.util.concurrent.EventExecutor;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * The event loops that taps run on, with the memory for request data of each. The owner of both.
 *
 * <p>Any thread, but a {@link SlabAllocator} is for its own loop only.
 */
public final class TapLoops implements AutoCloseable {
    private static final long KEEP_FREE_BYTES = 64L << 20;

    private final EventLoopGroup group;
    private final MemoryBudget budget;
    private final Map<EventLoop, SlabAllocator> memory = new ConcurrentHashMap<>();

    /**
     * Takes over a group of loops, epoll or io_uring.
     *
     * @param group shut down by {@link #close}
     * @param inFlightBytes bound on request data in flight, over all loops
     */
    public TapLoops(EventLoopGroup group, long inFlightBytes) {
        this.group = group;
        this.budget = new MemoryBudget(inFlightBytes);
        for (EventExecutor loop : group) {
            memory.put((EventLoop) loop, new SlabAllocator(budget, KEEP_FREE_BYTES));
        }
    }

    /** Returns the group, for bootstraps. */
    public EventLoopGroup group() {
        return group;
    }

    /** Returns the bound on request data in flight. */
    public MemoryBudget budget() {
        return budget;
    }

    /** Returns the allocator of one of the group's loops. */
    public SlabAllocator memory(EventLoop loop) {
        SlabAllocator allocator = memory.get(loop);
        if (allocator == null) {
            throw new IllegalArgumentException("not one of these loops: " + loop);
        }
        return allocator;
    }

    /** Ends the loops, waiting at most 5 seconds, and gives back the memory. Not on one of the loops. */
    @Override
    public void close() {
        // Buffers are confined to their loops: the slabs are freed there, as the last thing.
        memory.forEach((loop, allocator) -> loop.execute(allocator::close));
        group.shutdownGracefully(1, 5000, TimeUnit.MILLISECONDS).awaitUninterruptibly(6, TimeUnit.SECONDS);
    }
}

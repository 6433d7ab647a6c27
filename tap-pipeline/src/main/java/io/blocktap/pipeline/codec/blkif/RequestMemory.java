package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.transport.LogLimiter;
import io.blocktap.transport.TapChannel;
import io.blocktap.transport.memory.BudgetTurn;
import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.ring.Blkif;
import java.util.ArrayDeque;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Buffers for the requests of one ring, from the slab. When its budget is used up, requests wait here, in order, and the ring is not read on; when their turn comes they are
 * accepted once more.
 *
 * <p>Threads: the channel's event loop.
 */
final class RequestMemory {
    private static final Logger LOG = LoggerFactory.getLogger(RequestMemory.class);

    private final BlkifCodec codec;
    private final TapChannel channel;
    private final ArrayDeque<BlockRequest> stalled = new ArrayDeque<>();
    private final LogLimiter outOfMemory = new LogLimiter(TimeUnit.SECONDS.toNanos(10));
    private @Nullable BudgetTurn turn;

    RequestMemory(BlkifCodec codec) {
        this.codec = codec;
        this.channel = codec.channel();
    }

    /** Returns a buffer for a request; null if it waits for one now, or was answered because the machine has none. */
    @Nullable
    RegionBuf take(BlockRequest request, int lengthBytes) {
        RegionBuf data;
        try {
            data = codec.allocate(turn(), lengthBytes);
        } catch (OutOfMemoryError e) {
            if (outOfMemory.count() > 0) {
                LOG.error(
                        "{}: {}; the request fails. Give the machine more memory, or serve with less --max-in-flight-bytes",
                        channel,
                        e.getMessage());
            }
            codec.fail(request, Blkif.BLKIF_RSP_ERROR);
            return null;
        }
        if (data == null) {
            stall(request);
        }
        return data;
    }

    private BudgetTurn turn() {
        BudgetTurn present = turn;
        if (present == null) {
            present = new BudgetTurn(codec.stream().memory().budget(), channel.eventLoop(), this::retry);
            turn = present;
        }
        return present;
    }

    /** Returns whether requests wait. */
    boolean isWaitedFor() {
        return !stalled.isEmpty();
    }

    private void stall(BlockRequest request) {
        RequestStream stream = codec.stream();
        if (!channel.isOpen()) {
            stream.discard(request);
            return;
        }
        if (stalled.isEmpty()) {
            stream.hold(); // it is off the ring, so a drain has to wait for it
        }
        stalled.add(request);
        channel.holdIntake();
    }

    /** Also when the intake is stopped: what was taken is answered. Once one finds no memory, all after it find none, so they keep their order. */
    private void retry() {
        if (stalled.isEmpty()) {
            return; // the channel went meanwhile
        }
        RequestStream stream = codec.stream();
        stream.hold();
        try {
            BlockRequest request;
            for (int left = stalled.size(); left > 0 && (request = stalled.poll()) != null; left--) {
                if (stalled.isEmpty()) {
                    stream.letGo();
                }
                codec.accept(request);
            }
            codec.endRetry();
        } catch (Throwable t) {
            // What is left would wait for ever; better an end of the ring that is seen.
            codec.fail(t);
        } finally {
            stream.letGo();
        }
    }

    /** The channel is gone: nobody waits any more. */
    void close() {
        if (turn != null) {
            turn.leave();
        }
        if (!stalled.isEmpty()) {
            RequestStream stream = codec.stream();
            stalled.forEach(stream::discard);
            stalled.clear();
            stream.letGo();
        }
    }
}

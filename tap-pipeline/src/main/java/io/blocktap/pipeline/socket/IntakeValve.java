package io.blocktap.pipeline.socket;

import io.blocktap.pipeline.RequestStream;
import io.blocktap.transport.memory.MemoryBudget;
import io.blocktap.transport.memory.RegionBuf;
import io.netty.channel.Channel;
import org.jspecify.annotations.Nullable;

/**
 * Back pressure of one connection: while it has its share in flight, while its client does not take its replies, or while there is no memory for the next
 * request, the valve is shut, and the socket is not read. What opens it again is an answer, room for replies, or memory.
 *
 * <p>Threads: the connection's event loop.
 */
final class IntakeValve {
    private final Channel channel;
    private final RequestStream stream;
    private final ConnectionShare share;
    private final Runnable resume;
    private boolean isShut;
    private boolean isResumeScheduled;

    /**
     * Makes an open valve.
     *
     * @param stream where the requests go
     * @param largeRequests what requests above a connection's share may hold, over all connections
     * @param resume opens the valve and goes on with what was received; runs when something has changed
     */
    IntakeValve(
            Channel channel,
            TransmissionHandler.Limits limits,
            RequestStream stream,
            MemoryBudget largeRequests,
            Runnable resume) {
        this.channel = channel;
        this.stream = stream;
        this.share = new ConnectionShare(limits.maxRequests(), limits.maxBytes(), stream, largeRequests, resume);
        this.resume = resume;
    }

    // ---- shut and open

    boolean isShut() {
        return isShut;
    }

    /** Takes no requests until {@link #open}. */
    void shut() {
        isShut = true;
        channel.config().setAutoRead(false);
    }

    /**
     * Begins a resumption.
     *
     * @return whether it was shut; the caller goes on, and reads the socket again if the valve is still open then
     */
    boolean open() {
        isResumeScheduled = false;
        boolean wasShut = isShut;
        isShut = false;
        return wasShut;
    }

    /** Opens it soon, if it is shut: not at once, since the answers of one turn are sent together first. */
    private void openSoon() {
        if (isShut && !isResumeScheduled) {
            isResumeScheduled = true;
            stream.eventLoop().execute(resume);
        }
    }

    /** Called when the client has taken replies, or too many of them wait for it. */
    void writabilityChanged() {
        if (channel.isWritable()) {
            openSoon();
        }
    }

    // ---- what may come

    /** Returns whether any request may come now; shuts if not. */
    boolean admitsAny() {
        return !share.isUsedUp() && channel.isWritable() || refuse();
    }

    /** Returns whether there is room for so much more data in flight; shuts if not. */
    boolean hasRoomFor(long dataBytes) {
        return share.hasRoomFor(dataBytes) || refuse();
    }

    /** Returns whether a request of this size may have memory now; shuts until its turn has come if not. */
    boolean admits(long dataBytes) {
        return share.mayServe(dataBytes) || refuse();
    }

    /** Takes memory for a request's data; if there is none, shuts until its turn has come and returns null. */
    @Nullable
    RegionBuf tryAllocate(int length) {
        RegionBuf data = share.tryAllocate(length);
        if (data == null) {
            shut();
        }
        return data;
    }

    private boolean refuse() {
        shut();
        return false;
    }

    // ---- what is in flight

    /** A request is on its way. */
    void submitted(int dataBytes) {
        share.submitted(dataBytes);
    }

    /** A request was answered. */
    void answered(int dataBytes) {
        share.answered(dataBytes);
        openSoon();
    }

    /** Returns whether no request is on its way. */
    boolean isIdle() {
        return share.isIdle();
    }

    /** Nothing is being received for the client; if it has taken its replies, too, others may have its turn at large requests. */
    void settle() {
        if (channel.isWritable()) {
            share.settle();
        }
    }

    /** Returns whether other connections wait for memory. */
    boolean isWaitedFor() {
        return share.isWaitedFor();
    }

    /** The connection is gone. */
    void close() {
        share.close();
    }
}

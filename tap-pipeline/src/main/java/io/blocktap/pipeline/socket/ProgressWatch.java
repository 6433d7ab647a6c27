package io.blocktap.pipeline.socket;

import io.netty.channel.Channel;
import io.netty.channel.ChannelOutboundBuffer;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Closes a connection whose client leaves the server waiting with its memory: it takes nothing of its replies, or sends nothing more of a
 * WRITE that it has begun. A client that asks for nothing may be silent for ever.
 *
 * <p>It looks at the connection in steps of a twentieth of the time, and only while there is something to wait for; nothing is done for a
 * request. Threads: the connection's event loop.
 */
final class ProgressWatch {
    private static final int MOST_STEPS = 20;
    /** While others wait for memory. */
    private static final int MOST_STEPS_IF_SHORT = 2;

    private final Channel channel;
    private final long stepMillis;
    private final LongSupplier missingBytes;
    private final BooleanSupplier memoryIsShort;
    private final String label;
    private final FaultLog faults;
    private final Runnable look = this::look;
    private boolean isWatching;
    // As it was at the last look, and for how many steps it has been so.
    private @Nullable Object sent;
    private long sentBytes;
    private int unsentSteps;
    private long missing;
    private int missingSteps;

    /**
     * Makes the watch of one connection.
     *
     * @param time how long nothing may move
     * @param missingBytes how much of a payload is still to come; 0 if the client has begun none
     * @param memoryIsShort whether others wait for memory; then a tenth of the time is enough
     */
    ProgressWatch(
            Channel channel,
            Duration time,
            LongSupplier missingBytes,
            BooleanSupplier memoryIsShort,
            String label,
            FaultLog faults) {
        this.channel = channel;
        this.stepMillis = Math.max(1, time.toMillis() / MOST_STEPS);
        this.missingBytes = missingBytes;
        this.memoryIsShort = memoryIsShort;
        this.label = label;
        this.faults = faults;
    }

    /** Begins to look, if there is something to wait for. */
    void watch() {
        if (!isWatching && (unsentBytes() > 0 || missingBytes.getAsLong() > 0)) {
            isWatching = true;
            note();
            unsentSteps = 0;
            missingSteps = 0;
            lookLater();
        }
    }

    private void lookLater() {
        channel.eventLoop().schedule(look, stepMillis, TimeUnit.MILLISECONDS);
    }

    private void look() {
        note();
        if (!channel.isOpen() || unsentBytes() == 0 && missing == 0) {
            isWatching = false;
            sent = null;
            return;
        }
        int most = memoryIsShort.getAsBoolean() ? MOST_STEPS_IF_SHORT : MOST_STEPS;
        if (unsentSteps >= most) {
            close("it took nothing of " + unsentBytes() + " bytes of replies", unsentSteps);
        } else if (missingSteps >= most) {
            close("it sent nothing more of a WRITE that lacks " + missing + " bytes", missingSteps);
        } else {
            lookLater();
        }
    }

    private void close(String reason, int steps) {
        faults.tell(
                FaultLog.Kind.STALLED,
                label,
                "closed, " + reason + " for " + steps * stepMillis + " ms (send-timeout)"
                        + (steps < MOST_STEPS ? "; others wait for memory" : ""));
        channel.close();
    }

    private long unsentBytes() {
        ChannelOutboundBuffer waiting = channel.unsafe().outboundBuffer();
        return waiting == null ? 0 : waiting.totalPendingWriteBytes(); // null when it is closing
    }

    /** Notes how far both directions have come, and counts how often it was no further than before. */
    private void note() {
        ChannelOutboundBuffer waiting = channel.unsafe().outboundBuffer();
        Object nowSent = waiting == null ? null : waiting.current();
        long nowSentBytes = waiting == null ? 0 : waiting.currentProgress();
        unsentSteps = nowSent != null && nowSent == sent && nowSentBytes == sentBytes ? unsentSteps + 1 : 0;
        sent = nowSent;
        sentBytes = nowSentBytes;
        long nowMissing = missingBytes.getAsLong();
        missingSteps = nowMissing != 0 && nowMissing == missing ? missingSteps + 1 : 0;
        missing = nowMissing;
    }
}

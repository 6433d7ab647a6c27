package io.blocktap.pipeline.tap.nbd;

import io.netty.channel.Channel;
import io.netty.channel.ChannelOutboundBuffer;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;

/**
 * Closes a connection whose client takes nothing of its replies for too long: it holds memory that others wait for.
 *
 * <p>It looks only while more replies wait than the channel's high water mark, once a period; nothing is done for a request. Threads: the connection's event loop.
 */
final class SendWatch {
    private final Channel channel;
    private final long periodMillis;
    private final String label;
    private final Logger log;
    private boolean isWatching;
    // What was being sent at the last look, and how much of it was gone.
    private @Nullable Object current;
    private long progress;
    private long pending;

    /**
     * Makes the watch of one connection.
     *
     * @param period how long nothing may be taken; one look a period, so it is noticed after one to two of them
     */
    SendWatch(Channel channel, Duration period, String label, Logger log) {
        this.channel = channel;
        this.periodMillis = period.toMillis();
        this.label = label;
        this.log = log;
    }

    /** Begins to look, because the channel is not writable now. */
    void watch() {
        if (!isWatching) {
            isWatching = true;
            note();
            lookLater();
        }
    }

    private void lookLater() {
        channel.eventLoop().schedule(this::look, periodMillis, TimeUnit.MILLISECONDS);
    }

    private void look() {
        if (!channel.isOpen() || channel.isWritable()) {
            isWatching = false;
            current = null;
        } else if (note()) {
            lookLater();
        } else {
            log.warn(
                    "{}: closed, it took nothing of {} bytes of replies for {} ms (send-timeout)",
                    label,
                    pending,
                    periodMillis);
            channel.close();
        }
    }

    /** Notes how far sending has come, and returns whether that is further than before. */
    private boolean note() {
        ChannelOutboundBuffer waiting = channel.unsafe().outboundBuffer();
        if (waiting == null) {
            return true; // it is closing
        }
        Object now = waiting.current();
        long progressNow = waiting.currentProgress();
        boolean further = now != current || progressNow != progress;
        current = now;
        progress = progressNow;
        pending = waiting.totalPendingWriteBytes();
        return further;
    }
}

package io.blocktap.pipeline.socket;

import io.netty.channel.Channel;
import io.netty.channel.EventLoop;
import java.util.function.Consumer;

/** Takes a connection to another event loop: where the disk that its client has chosen is pinned. */
public final class ChannelMove {
    private ChannelMove() {}

    /**
     * Moves a channel. Until it has arrived nothing is read; the caller switches that on again.
     *
     * @param loop where to
     * @param channel on its present loop
     * @param arrived runs on the new loop
     * @param failed gets the cause if the channel is still open but has no loop
     */
    public static void to(EventLoop loop, Channel channel, Runnable arrived, Consumer<Throwable> failed) {
        channel.config().setAutoRead(false);
        // Not at once: this turn of reading ends first, so that no read is under way when the channel leaves.
        channel.eventLoop()
                .execute(() -> channel.deregister()
                        .addListener(left -> loop.register(channel).addListener(there -> {
                            if (there.isSuccess()) {
                                arrived.run();
                            } else if (channel.isOpen()) {
                                failed.accept(there.cause());
                            }
                        })));
    }
}

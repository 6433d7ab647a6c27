package io.blocktap.launcher.load;

import io.blocktap.transport.loopback.LoopbackAddress;
import io.blocktap.transport.loopback.LoopbackFrontendChannel;
import io.blocktap.transport.ring.BlkifLayout;
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.ChannelFuture;
import io.netty.channel.EventLoopGroup;
import java.util.concurrent.CompletableFuture;

/** Connects to a loopback ring. */
final class LoopbackClient {
    private LoopbackClient() {}

    /**
     * Connects.
     *
     * @param depth requests in flight
     * @param requestBytes data of the longest request
     */
    static CompletableFuture<BlockClient> connect(EventLoopGroup group, Target target, int depth, int requestBytes) {
        LoopbackFrontendChannel channel = new LoopbackFrontendChannel(
                BlkifLayout.X86_64, RingClient.ringPages(depth), RingClient.dataPages(depth, requestBytes));
        RingClient client = new RingClient(channel, () -> channel.close().awaitUninterruptibly());
        CompletableFuture<BlockClient> result = new CompletableFuture<>();
        new Bootstrap()
                .group(group)
                .channelFactory(() -> channel)
                .handler(client.handler())
                .connect(new LoopbackAddress(target.place(), target.disk()))
                .addListener((ChannelFuture connected) -> {
                    if (!connected.isSuccess()) {
                        result.completeExceptionally(connected.cause());
                        return;
                    }
                    try {
                        client.prepare(depth, requestBytes);
                        result.complete(client);
                    } catch (RuntimeException e) {
                        channel.close();
                        result.completeExceptionally(e);
                    }
                });
        return result;
    }
}

package io.blocktap.launcher.load;

import io.blocktap.transport.xen.XenDevices;
import io.blocktap.transport.xen.frontend.XenFrontend;
import io.blocktap.transport.xen.frontend.XenFrontendChannel;
import io.blocktap.transport.xen.store.XenStorePath;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import java.util.concurrent.CompletableFuture;

/** Connects to a Xen backend of this domain, as a device of its own with one ring. */
final class XenClient {
    private XenClient() {}

    /**
     * Connects.
     *
     * @param depth requests in flight
     * @param requestBytes data of the longest request
     */
    static CompletableFuture<BlockClient> connect(EventLoopGroup group, Target target, int depth, int requestBytes) {
        XenFrontend.Options options = new XenFrontend.Options(
                XenFrontend.Abi.X86_64, RingClient.ringPages(depth), 1, RingClient.dataPages(depth, requestBytes));
        return XenFrontend.connect(
                        (EventLoop) group.iterator().next(),
                        XenDevices.ofThisMachine(),
                        XenStorePath.of(target.place()),
                        target.disk(),
                        options)
                .thenCompose(frontend -> prepare(frontend, depth, requestBytes));
    }

    private static CompletableFuture<BlockClient> prepare(XenFrontend frontend, int depth, int requestBytes) {
        XenFrontendChannel channel = frontend.queues().get(0);
        RingClient client = new RingClient(channel, frontend::close);
        try {
            channel.pipeline().addLast(client.handler());
            client.prepare(depth, requestBytes);
            return CompletableFuture.completedFuture(client);
        } catch (RuntimeException e) {
            return frontend.disconnect()
                    .handle((ok, ignored) -> ok)
                    .thenCompose(ok -> CompletableFuture.<BlockClient>failedFuture(e));
        }
    }
}

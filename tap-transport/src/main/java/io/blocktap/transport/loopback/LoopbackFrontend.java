package io.blocktap.transport.loopback;

import io.blocktap.transport.frontend.BlockFrontend;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoopGroup;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;

/**
 * A small asynchronous block client over a loopback ring: connect, read, write, flush, discard.
 *
 * <pre>{@code
 * LoopbackFrontend disk = LoopbackFrontend.connect(group, new LoopbackAddress("/run/tap.sock")).join();
 * disk.write(0, buffer).thenCompose(done -> disk.flush()).join();
 * }</pre>
 *
 * <p>Any thread; futures complete on the frontend's event loop.
 */
public final class LoopbackFrontend extends BlockFrontend {
    /**
     * How to connect.
     *
     * @param layout the ring's ABI
     * @param ringPages 1, 2, 4, 8 or 16
     * @param queueDepth most requests in flight, 1 or more; those beyond wait here
     * @param requestBytes most bytes in one ring request, a multiple of 4096; longer transfers are split
     */
    public record Options(BlkifLayout layout, int ringPages, int queueDepth, int requestBytes) {
        /** One page, 32 requests of up to 44 KiB. */
        public static final Options DEFAULT =
                new Options(BlkifLayout.X86_64, 1, 32, Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST * Blkif.PAGE_BYTES);

        /** Checks the numbers. */
        public Options {
            if (queueDepth < 1 || requestBytes < Blkif.PAGE_BYTES || requestBytes % Blkif.PAGE_BYTES != 0) {
                throw new IllegalArgumentException("queue depth " + queueDepth + ", requests of " + requestBytes
                        + " bytes; at least 1, and a multiple of " + Blkif.PAGE_BYTES);
            }
        }

        int dataPages() {
            return queueDepth * (requestBytes / Blkif.PAGE_BYTES + 1);
        }
    }

    private LoopbackFrontend(LoopbackFrontendChannel channel, Options options) {
        super(channel, options.queueDepth(), options.requestBytes());
    }

    /** Connects with {@link Options#DEFAULT}. */
    public static CompletableFuture<LoopbackFrontend> connect(EventLoopGroup group, LoopbackAddress address) {
        return connect(group, address, Options.DEFAULT);
    }

    /**
     * Connects to a tap.
     *
     * @param group epoll or io_uring loops; stays owned by the caller
     * @return completes when the ring is there; fails with an {@link IOException} that says why not
     */
    public static CompletableFuture<LoopbackFrontend> connect(
            EventLoopGroup group, LoopbackAddress address, Options options) {
        CompletableFuture<LoopbackFrontend> result = new CompletableFuture<>();
        LoopbackFrontendChannel channel =
                new LoopbackFrontendChannel(options.layout(), options.ringPages(), options.dataPages());
        new Bootstrap()
                .group(group)
                .channelFactory(() -> channel)
                .handler(new ChannelInboundHandlerAdapter())
                .connect(address)
                .addListener((ChannelFuture future) -> {
                    if (!future.isSuccess()) {
                        result.completeExceptionally(future.cause());
                        return;
                    }
                    if (!result.complete(new LoopbackFrontend(channel, options))) {
                        channel.close();
                    }
                });
        return result;
    }
}

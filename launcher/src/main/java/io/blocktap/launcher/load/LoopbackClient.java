package io.blocktap.launcher.load;

import io.blocktap.transport.loopback.FrontRequest;
import io.blocktap.transport.loopback.LoopbackAddress;
import io.blocktap.transport.loopback.LoopbackFrontendChannel;
import io.blocktap.transport.loopback.LoopbackGeometry;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoopGroup;
import java.nio.channels.ClosedChannelException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** Drives a loopback ring, straight on its channel. */
final class LoopbackClient implements BlockClient {
    private static final int SLOTS_PER_PAGE = 32;

    private final LoopbackFrontendChannel channel;
    private final List<Slot> slots = new ArrayList<>();
    private final List<FrontRequest> requests = new ArrayList<>();
    private final FrontRequest.Listener ended = this::ended;
    private @Nullable Listener listener;

    private LoopbackClient(LoopbackFrontendChannel channel) {
        this.channel = channel;
    }

    /**
     * Connects.
     *
     * @param depth requests in flight
     * @param requestBytes data of the longest request
     */
    static CompletableFuture<BlockClient> connect(EventLoopGroup group, Target target, int depth, int requestBytes) {
        int pages = (requestBytes + Blkif.PAGE_BYTES - 1) / Blkif.PAGE_BYTES;
        LoopbackFrontendChannel channel =
                new LoopbackFrontendChannel(BlkifLayout.X86_64, ringPages(depth), depth * (pages + 1));
        LoopbackClient client = new LoopbackClient(channel);
        CompletableFuture<BlockClient> result = new CompletableFuture<>();
        new Bootstrap()
                .group(group)
                .channelFactory(() -> channel)
                .handler(client.new Errors())
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

    /** The smallest ring that holds the depth; 512 slots at most, then requests wait in the channel. */
    private static int ringPages(int depth) {
        int pages = 1;
        while (pages < 16 && pages * SLOTS_PER_PAGE < depth) {
            pages *= 2;
        }
        return pages;
    }

    private void prepare(int depth, int requestBytes) {
        for (int i = 0; i < depth; i++) {
            FrontRequest request = channel.newRequest(requestBytes);
            Slot slot = new Slot(i, request.data());
            request.attach(slot);
            requests.add(request);
            slots.add(slot);
        }
    }

    private final class Errors extends ChannelInboundHandlerAdapter {
        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            lost(cause);
        }

        @Override
        public void channelInactive(ChannelHandlerContext ctx) {
            lost(new ClosedChannelException());
        }
    }

    private void lost(Throwable cause) {
        Listener told = listener;
        if (told != null) {
            told.lost(cause);
        }
    }

    @Override
    public long sizeBytes() {
        return channel.geometry().capacitySectors() << Blkif.SECTOR_SHIFT;
    }

    @Override
    public boolean isWritable() {
        return !channel.geometry().has(LoopbackGeometry.READ_ONLY);
    }

    @Override
    public boolean hasFlush() {
        return channel.geometry().has(LoopbackGeometry.FLUSH);
    }

    @Override
    public List<Slot> slots() {
        return slots;
    }

    @Override
    public void listen(Listener newListener) {
        listener = newListener;
    }

    @Override
    public void issue(Slot slot) {
        int operation = switch (slot.op) {
            case READ -> Blkif.BLKIF_OP_READ;
            case WRITE -> Blkif.BLKIF_OP_WRITE;
            case FLUSH -> Blkif.BLKIF_OP_FLUSH_DISKCACHE;
            default -> throw new IllegalArgumentException("not driven: " + slot);
        };
        FrontRequest request = requests.get(slot.index);
        request.describe(operation, slot.offsetBytes >> Blkif.SECTOR_SHIFT, slot.lengthBytes >> Blkif.SECTOR_SHIFT);
        channel.issue(request, ended);
    }

    private void ended(FrontRequest request, int status) {
        Listener told = listener;
        if (told != null && status != FrontRequest.CONNECTION_LOST) {
            told.ended((Slot) request.attachment(), status == Blkif.BLKIF_RSP_OKAY);
        }
    }

    @Override
    public void publish() {
        channel.publish();
    }

    @Override
    public void close() {
        listener = null;
        channel.close().awaitUninterruptibly();
    }
}

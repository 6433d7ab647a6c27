package io.blocktap.launcher.load;

import io.blocktap.transport.frontend.FrontChannel;
import io.blocktap.transport.frontend.FrontGeometry;
import io.blocktap.transport.frontend.FrontRequest;
import io.blocktap.transport.ring.Blkif;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import java.nio.channels.ClosedChannelException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Drives a ring, straight on its channel. */
final class RingClient implements BlockClient {
    private static final int SLOTS_PER_PAGE = 32;

    private final FrontChannel channel;
    private final Runnable closing;
    private final List<Slot> slots = new ArrayList<>();
    private final List<FrontRequest> requests = new ArrayList<>();
    private final FrontRequest.Listener ended = this::ended;
    private @Nullable Listener listener;

    /**
     * Makes a client.
     *
     * @param channel connected or not; closed by the client
     * @param closing closes it, and what belongs to it, and waits
     */
    RingClient(FrontChannel channel, Runnable closing) {
        this.channel = channel;
        this.closing = closing;
    }

    /** The smallest ring that holds the depth; 512 slots at most, then requests wait in the channel. */
    static int ringPages(int depth) {
        int pages = 1;
        while (pages < 16 && pages * SLOTS_PER_PAGE < depth) {
            pages *= 2;
        }
        return pages;
    }

    /** Returns how many pages of data the requests take, with those that describe indirect ones. */
    static int dataPages(int depth, int requestBytes) {
        int pages = (requestBytes + Blkif.PAGE_BYTES - 1) / Blkif.PAGE_BYTES;
        return depth * (pages + (pages > Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST ? 1 : 0));
    }

    /** Hears of the channel's end; to be added to its pipeline. */
    ChannelHandler handler() {
        return new Errors();
    }

    /** Makes the requests; once connected, on the loop. */
    void prepare(int depth, int requestBytes) {
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
        return !channel.geometry().has(FrontGeometry.READ_ONLY);
    }

    @Override
    public boolean hasFlush() {
        return channel.geometry().has(FrontGeometry.FLUSH);
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
        closing.run();
    }
}

package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.ChainHandler;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.SegmentList;
import io.blocktap.transport.GuestMemory;
import io.blocktap.transport.RingSlots;
import io.blocktap.transport.TapChannel;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.memory.SlabAllocator;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.RingSlot;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Turns ring slots into requests and responses into ring slots, for one ring. First handler of a {@link TapChannel}; a {@link ChainHandler} stands at
 * the end.
 *
 * <p><b>Validation.</b> Every number of the slot, which is a private copy already, is checked before it is used; a bad request is answered with an
 * error and concerns no other. Ranges and read-only disks are checked by the stream.
 *
 * <p><b>Data.</b> If the pages of a request lie side by side in mapped memory, its data are a window onto that memory: no copy. Otherwise they go through a
 * buffer of the slab. When the slab's budget is used up, the slot is kept and the ring is not read on until bytes come back.
 *
 * <p><b>Order.</b> A barrier, or a flush that carries data, is done as a sequence while the ring is held: (barrier only: wait until all before it are
 * answered), flush, write, (barrier only: flush).
 *
 * <p><b>Failed flushes.</b> Linux' frontend takes a failed flush for "no volatile cache" and goes on as if nothing were lost. So after one
 * the ring is fenced: writes and flushes fail from then on, until the frontend connects anew.
 *
 * <p>Threads: the channel's event loop.
 */
public final class BlkifCodec extends ChannelDuplexHandler {
    private static final Logger LOG = LoggerFactory.getLogger(BlkifCodec.class);

    /** The tap bits of a request: the operation to echo. */
    private static final int OPERATION_MASK = 0xff;

    /** Marks a request of the codec's own, part of a sequence. */
    private static final int PART_OF_SEQUENCE = 0x100;

    /** Marks a request whose data are copied to and from the guest's pages. */
    private static final int COPIED = 0x200;

    private final TapChannel channel;
    private final ChainHandler chain;
    private final SlotDecoder decoder;
    private final GuestWindows windows = new GuestWindows();
    private final OrderedSequence sequence = new OrderedSequence(this);
    private @Nullable RingSlot stalled;
    private boolean fenced;
    private int inFlight;
    private int badRequests;
    private final Runnable retryStalled = this::retryStalled;

    @SuppressWarnings("NullAway.Init") // by handlerAdded
    private ChannelHandlerContext context;

    /**
     * Makes the codec of one channel.
     *
     * @param chain the last handler of the same pipeline
     * @param features what the frontend was offered
     */
    public BlkifCodec(TapChannel channel, ChainHandler chain, BlkifFeatures features) {
        this.channel = channel;
        this.chain = chain;
        this.decoder = new SlotDecoder(channel.ring().layout(), channel.memory(), features);
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        context = ctx;
    }

    // ---- down

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        if (message instanceof RingSlots slots) {
            RingSlot slot;
            while ((slot = slots.next()) != null) {
                take(slot);
            }
        } else {
            ctx.fireChannelRead(message);
        }
    }

    private void take(RingSlot slot) {
        BlockRequest request = stream().newRequest();
        SegmentList segments = request.newSegments();
        int status = decoder.decode(slot, segments);
        int operation = decoder.operation();
        if (status == Blkif.BLKIF_RSP_OKAY && fenced && operation != Blkif.BLKIF_OP_READ) {
            status = Blkif.BLKIF_RSP_ERROR;
        }
        if (status != Blkif.BLKIF_RSP_OKAY) {
            refuse(request, status);
            return;
        }
        int lengthBytes = decoder.lengthBytes();
        RegionBuf data = null;
        int copied = 0;
        if (lengthBytes > 0 && operation != Blkif.BLKIF_OP_DISCARD) {
            MappedRegion region = channel.memory().region();
            if (region != null && SlotDecoder.isContiguous(segments)) {
                int start = segments.gref(0) * Blkif.PAGE_BYTES + (segments.firstSector(0) << Blkif.SECTOR_SHIFT);
                data = windows.window(request, region, start, lengthBytes);
            } else {
                copied = COPIED;
                data = allocate(lengthBytes);
                if (data == null) {
                    stream().discard(request);
                    stall(slot);
                    return;
                }
                if (operation != Blkif.BLKIF_OP_READ && !copyFromGuest(segments, data)) {
                    data.release();
                    refuse(request, Blkif.BLKIF_RSP_ERROR);
                    return;
                }
            }
            if (operation != Blkif.BLKIF_OP_READ) {
                data.setIndex(0, lengthBytes);
            }
        }
        inFlight++;
        if (operation == Blkif.BLKIF_OP_WRITE_BARRIER || operation == Blkif.BLKIF_OP_FLUSH_DISKCACHE && data != null) {
            sequence.begin(operation, decoder.id(), decoder.offsetBytes(), data, segments);
            stream().discard(request);
            return;
        }
        request.withCookie(decoder.id(), operation | copied);
        if (data != null) {
            request.withData(data);
        }
        switch (operation) {
            case Blkif.BLKIF_OP_READ -> request.describe(BlockOp.READ, 0, decoder.offsetBytes(), lengthBytes);
            case Blkif.BLKIF_OP_WRITE -> request.describe(BlockOp.WRITE, 0, decoder.offsetBytes(), lengthBytes);
            case Blkif.BLKIF_OP_FLUSH_DISKCACHE -> request.describe(BlockOp.FLUSH, 0, 0, 0);
            default -> request.describe(BlockOp.DISCARD, 0, decoder.offsetBytes(), decoder.discardBytes());
        }
        context.fireChannelRead(request);
    }

    private RequestStream stream() {
        return chain.stream();
    }

    /** Returns a buffer of the slab; null if there is none now, and then the budget calls when there may be. */
    private @Nullable RegionBuf allocate(int lengthBytes) {
        SlabAllocator memory = stream().memory();
        RegionBuf data = memory.tryAllocate(lengthBytes);
        if (data == null) {
            // Ask first, then try once more: bytes that came back in between would call nobody.
            memory.budget().callWhenGivenBack(this::retryLater);
            data = memory.tryAllocate(lengthBytes);
        }
        return data;
    }

    private boolean copyFromGuest(SegmentList segments, ByteBuf data) {
        GuestMemory memory = channel.memory();
        int index = 0;
        for (int i = 0; i < segments.count(); i++) {
            int first = segments.firstSector(i) << Blkif.SECTOR_SHIFT;
            int length = SlotDecoder.segmentBytes(segments, i);
            if (!memory.copyIn(segments.gref(i), first, length, data, index)) {
                return false;
            }
            index += length;
        }
        return true;
    }

    private boolean copyToGuest(ByteBuf data, SegmentList segments) {
        GuestMemory memory = channel.memory();
        int index = 0;
        for (int i = 0; i < segments.count(); i++) {
            int first = segments.firstSector(i) << Blkif.SECTOR_SHIFT;
            int length = SlotDecoder.segmentBytes(segments, i);
            if (!memory.copyOut(data, index, segments.gref(i), first, length)) {
                return false;
            }
            index += length;
        }
        return true;
    }

    private void refuse(BlockRequest request, int status) {
        stream().discard(request);
        if (badRequests++ == 0) {
            LOG.warn("{}: bad request: {}; further ones of this ring are not logged", channel, decoder.complaint());
        }
        channel.ring().respond(decoder.id(), decoder.operation(), status);
    }

    // ---- waiting for memory

    private void stall(RingSlot slot) {
        stalled = slot;
        channel.holdIntake();
    }

    private void retryLater() {
        channel.eventLoop().execute(retryStalled);
    }

    private void retryStalled() {
        RingSlot slot = stalled;
        if (slot == null || !channel.isOpen() || channel.isIntakeStopped()) {
            return;
        }
        stalled = null;
        take(slot);
        if (stalled == null) {
            context.fireChannelReadComplete();
            if (!sequence.isActive()) {
                channel.releaseIntake();
            }
        }
    }

    // ---- up

    @Override
    public void write(ChannelHandlerContext ctx, Object message, ChannelPromise promise) {
        if (!(message instanceof BlockResponse response)) {
            ctx.write(message, promise);
            return;
        }
        BlockRequest request = response.request();
        int bits = request.tapBits();
        if ((bits & PART_OF_SEQUENCE) != 0) {
            sequence.onPart(response);
            return;
        }
        int status = BlkifStatus.of(response.status());
        if ((bits & COPIED) != 0
                && request.op() == BlockOp.READ
                && status == Blkif.BLKIF_RSP_OKAY
                && !copyToGuest(request.data(), Objects.requireNonNull(request.segments()))) {
            status = Blkif.BLKIF_RSP_ERROR;
        }
        if (status != Blkif.BLKIF_RSP_OKAY && request.op() == BlockOp.FLUSH) {
            fence(response.status());
        }
        answer(request.cookie(), bits & OPERATION_MASK, status);
    }

    private void answer(long id, int operation, int status) {
        inFlight--;
        if (channel.isOpen()) {
            channel.ring().respond(id, operation, status);
        }
        sequence.onAnswer();
    }

    /** After a failed flush: lets no more writes through. */
    void fence(BlockStatus status) {
        if (!fenced && status != BlockStatus.UNSUPPORTED) {
            fenced = true;
            LOG.error(
                    "{}: a flush failed ({}); writes fail from now on, for earlier ones may be lost", channel, status);
        }
    }

    @Override
    public void flush(ChannelHandlerContext ctx) {
        if (channel.isOpen()) {
            channel.publish();
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        stalled = null;
        sequence.abandon();
        windows.close();
        ctx.fireChannelInactive();
    }

    // ---- for the sequence

    /** Returns how many requests of the ring are without an answer. */
    int inFlight() {
        return inFlight;
    }

    TapChannel channel() {
        return channel;
    }

    boolean hasFua() {
        return stream().session().disk().geometry().has(Feature.FUA);
    }

    boolean hasFlush() {
        return stream().session().disk().geometry().has(Feature.FLUSH);
    }

    void submitFlushPart() {
        context.fireChannelRead(
                stream().newRequest().withCookie(0, PART_OF_SEQUENCE).describe(BlockOp.FLUSH, 0, 0, 0));
    }

    void submitWritePart(long offsetBytes, ByteBuf data, SegmentList segments, int flags) {
        BlockRequest request = stream().newRequest();
        request.newSegments().copyFrom(segments);
        context.fireChannelRead(request.withCookie(0, PART_OF_SEQUENCE)
                .describe(BlockOp.WRITE, flags, offsetBytes, data.capacity())
                .withData(data));
    }

    /** Ends a sequence: answers the frontend, and lets the ring go on. */
    void endSequence(long id, int operation, BlockStatus status) {
        answer(id, operation, BlkifStatus.of(status));
        // One completion of the parts' turn: publishes.
        context.fireChannelReadComplete();
        channel.releaseIntake();
    }

    void completeTurn() {
        context.fireChannelReadComplete();
    }
}

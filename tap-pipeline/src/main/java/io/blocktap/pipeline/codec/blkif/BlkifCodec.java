package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.ChainHandler;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.SegmentList;
import io.blocktap.transport.RingSlots;
import io.blocktap.transport.TapChannel;
import io.blocktap.transport.memory.BudgetTurn;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.memory.RegionBuf;
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
 * buffer of the slab, copied in batches: all indirect pages of a turn, then all data of its writes, and all data of its reads when the answers are flushed. When the slab's
 * budget is used up, the request is kept and the ring is not read on until bytes come back.
 *
 * <p><b>Order.</b> A barrier, or a flush that carries data, is done as a sequence while the ring is held: (barrier only: wait until all before it are
 * answered), flush, write, (barrier only: flush).
 *
 * <p><b>Failed flushes.</b> Linux' frontend takes a failed flush for "no volatile cache" and goes on as if nothing were lost. So after one
 * the ring is fenced: writes and flushes fail from then on, until the frontend connects anew.
 *
 * <p>Threads: the channel's event loop.
 */
public class BlkifCodec extends ChannelDuplexHandler {
    private static final Logger LOG = LoggerFactory.getLogger(BlkifCodec.class);

    /** The tap bits of a request: the operation to echo. */
    static final int OPERATION_MASK = 0xff;

    /** Marks a request of the codec's own, part of a sequence. */
    private static final int PART_OF_SEQUENCE = 0x100;

    /** Marks a request whose data are copied to and from the guest's pages. */
    private static final int COPIED = 0x200;

    /** From this bit on: the ring's number of the request, {@link RingSlot#entry}. */
    private static final int ENTRY_SHIFT = 16;

    private final TapChannel channel;
    private final ChainHandler chain;
    private final SlotDecoder decoder;
    private final @Nullable MappedRegion mapped;
    private final GuestWindows windows = new GuestWindows();
    private final OrderedSequence sequence = new OrderedSequence(this);
    private final StagedIndirects indirects = new StagedIndirects();
    private final StagedWrites writes = new StagedWrites();
    private final StagedReads reads = new StagedReads();
    private final RequestMemory memory;
    private boolean fenced;
    private int inFlight;
    private int badRequests;

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
        this.mapped = channel.memory().region();
        this.memory = new RequestMemory(this);
        this.decoder = new SlotDecoder(channel.ring().layout(), channel.memory(), features);
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        context = ctx;
        fenced = channel.ring().isFenced();
    }

    // ---- down

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        if (message instanceof RingSlots slots) {
            RingSlot slot;
            while ((slot = slots.next()) != null) {
                take(slot);
            }
            startStaged();
        } else {
            ctx.fireChannelRead(message);
        }
    }

    private void take(RingSlot slot) {
        BlockRequest request = stream().newRequest();
        SegmentList segments = request.newSegments();
        int status = decoder.decode(slot, segments);
        int operation = decoder.operation();
        inFlight++;
        request.withCookie(decoder.id(), operation | slot.entry() << ENTRY_SHIFT);
        // What nearly every request of a mapped ring is, short enough to be compiled as one.
        if (status == Blkif.BLKIF_RSP_OKAY
                && operation <= Blkif.BLKIF_OP_WRITE
                && mapped != null
                && decoder.indirectCount() == 0
                && !fenced
                && SlotDecoder.isContiguous(segments)) {
            int lengthBytes = decoder.lengthBytes();
            request.withData(window(request, mapped, segments, lengthBytes));
            request.describe(
                    operation == Blkif.BLKIF_OP_READ ? BlockOp.READ : BlockOp.WRITE,
                    0,
                    decoder.offsetBytes(),
                    lengthBytes);
            context.fireChannelRead(request);
        } else {
            takeOther(request, status, operation);
        }
    }

    private RegionBuf window(BlockRequest request, MappedRegion region, SegmentList segments, int lengthBytes) {
        int first = segments.gref(0) * Blkif.PAGE_BYTES + (segments.firstSector(0) << Blkif.SECTOR_SHIFT);
        RegionBuf data = windows.window(request, region, first, lengthBytes);
        data.setIndex(0, lengthBytes); // of a READ it does not matter
        return data;
    }

    private void takeOther(BlockRequest request, int status, int operation) {
        if (status != Blkif.BLKIF_RSP_OKAY) {
            refuse(request, status);
            return;
        }
        switch (operation) {
            case Blkif.BLKIF_OP_READ -> describe(request, BlockOp.READ);
            case Blkif.BLKIF_OP_DISCARD ->
                request.describe(BlockOp.DISCARD, 0, decoder.offsetBytes(), decoder.discardBytes());
            case Blkif.BLKIF_OP_FLUSH_DISKCACHE -> describe(request, BlockOp.FLUSH);
            default -> describe(request, BlockOp.WRITE);
        }
        if (decoder.indirectCount() == 0) {
            if (operation == Blkif.BLKIF_OP_WRITE_BARRIER) {
                startStaged(); // it waits for them, so it must not take the memory that they wait for
            }
            accept(request);
        } else {
            indirects.stage(request, decoder.indirectGref(), decoder.indirectCount());
            if (indirects.isFull()) {
                startStaged();
            }
        }
    }

    private void describe(BlockRequest request, BlockOp op) {
        int length = decoder.lengthBytes();
        request.describe(op, 0, op == BlockOp.FLUSH && length == 0 ? 0 : decoder.offsetBytes(), length);
    }

    /** Takes on a request whose segments are known: finds it a place for its data. */
    void accept(BlockRequest request) {
        int operation = request.tapBits() & OPERATION_MASK;
        if (fenced && operation != Blkif.BLKIF_OP_READ) {
            fail(request, Blkif.BLKIF_RSP_ERROR);
            return;
        }
        int lengthBytes = request.dataLength();
        if (lengthBytes == 0 || operation == Blkif.BLKIF_OP_DISCARD) {
            start(request);
            return;
        }
        SegmentList segments = Objects.requireNonNull(request.segments());
        if (mapped != null && SlotDecoder.isContiguous(segments)) {
            request.withData(window(request, mapped, segments, lengthBytes));
            start(request);
            return;
        }
        RegionBuf data = memory.take(request, lengthBytes);
        if (data == null) {
            return;
        }
        request.withData(data).withCookie(request.cookie(), request.tapBits() | COPIED);
        if (operation == Blkif.BLKIF_OP_READ) {
            start(request);
            return;
        }
        data.setIndex(0, lengthBytes);
        writes.stage(request);
        if (operation != Blkif.BLKIF_OP_WRITE || writes.isFull()) {
            startWrites(); // what is ordered must hold the ring before it is looked at again
        }
    }

    private void start(BlockRequest request) {
        int operation = request.tapBits() & OPERATION_MASK;
        if (operation == Blkif.BLKIF_OP_WRITE_BARRIER
                || operation == Blkif.BLKIF_OP_FLUSH_DISKCACHE && request.dataLength() > 0) {
            sequence.begin(request);
            stream().discard(request);
        } else {
            context.fireChannelRead(request);
        }
    }

    private void startStaged() {
        if (indirects.count() > 0) {
            startIndirects();
        }
        if (writes.count() > 0) {
            startWrites();
        }
    }

    private void startIndirects() {
        indirects.copy(channel.memory().copiesFromGuest());
        int count = indirects.count();
        indirects.clear();
        for (int i = 0; i < count; i++) {
            BlockRequest request = indirects.request(i);
            int status = indirects.isCopied(i)
                    ? decoder.decodeIndirect(
                            indirects.bytes(), indirects.index(i), indirects.segments(i), request.newSegments())
                    : decoder.indirectNotReadable();
            if (status == Blkif.BLKIF_RSP_OKAY) {
                accept(request.describe(request.op(), 0, request.offsetBytes(), decoder.lengthBytes()));
            } else {
                refuse(request, status);
            }
        }
    }

    private void startWrites() {
        writes.copy(channel.memory().copiesFromGuest());
        int count = writes.count();
        writes.clear();
        for (int i = 0; i < count; i++) {
            BlockRequest request = writes.request(i);
            if (!writes.isCopied(i)) {
                decoder.pageNotReadable();
                refuse(request, Blkif.BLKIF_RSP_ERROR);
            } else {
                start(request);
            }
        }
    }

    RequestStream stream() {
        return chain.stream();
    }

    private void refuse(BlockRequest request, int status) {
        if (badRequests++ == 0) {
            LOG.warn("{}: bad request: {}; further ones of this ring are not logged", channel, decoder.complaint());
        }
        fail(request, status);
    }

    void fail(BlockRequest request, int status) {
        long id = request.cookie();
        int bits = request.tapBits();
        stream().discard(request);
        answer(id, bits, status);
    }

    // ---- for those that wait for memory

    /** Asks for a buffer; null if there is none now. Tests run out of memory here. */
    @Nullable
    RegionBuf allocate(BudgetTurn turn, int lengthBytes) {
        return turn.tryAllocate(stream().memory(), lengthBytes);
    }

    /** All that waited have been accepted, or wait again. */
    void endRetry() {
        startStaged();
        context.fireChannelReadComplete();
        goOn();
    }

    /** Ends the ring after what should not happen. */
    void fail(Throwable cause) {
        context.fireExceptionCaught(cause);
        channel.close();
    }

    /** Takes requests again, unless something still has to come before them. */
    private void goOn() {
        if (!memory.isWaitedFor() && !sequence.isActive()) {
            channel.releaseIntake();
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
        if ((bits & COPIED) != 0 && request.op() == BlockOp.READ && status == Blkif.BLKIF_RSP_OKAY) {
            reads.stage(request, channel.memory().copiesToGuest());
            if (reads.isFull()) {
                answerReads();
            }
            return;
        }
        if (status != Blkif.BLKIF_RSP_OKAY && request.op() == BlockOp.FLUSH) {
            fence(response.status());
        }
        answer(request.cookie(), bits, status);
    }

    private void answer(long id, int bits, int status) {
        inFlight--;
        if (channel.isOpen()) {
            channel.ring().respond(id, bits & OPERATION_MASK, status, bits >>> ENTRY_SHIFT);
        }
        sequence.onAnswer();
    }

    /** Copies what was read to the guest, and answers. */
    private void answerReads() {
        int count = reads.count();
        boolean isOpen = channel.isOpen();
        reads.copy(channel.memory().copiesToGuest());
        for (int i = 0; i < count; i++) {
            if (isOpen) {
                int status = reads.isCopied(i) ? Blkif.BLKIF_RSP_OKAY : Blkif.BLKIF_RSP_ERROR;
                channel.ring().respond(reads.id(i), Blkif.BLKIF_OP_READ, status, reads.tapBits(i) >>> ENTRY_SHIFT);
            }
        }
        reads.clear();
        inFlight -= count;
        sequence.onAnswer();
    }

    /** After a failed flush: lets no more writes through. */
    void fence(BlockStatus status) {
        if (!fenced && status != BlockStatus.UNSUPPORTED) {
            fenced = true;
            if (channel.isOpen()) {
                channel.ring().fence();
            }
            LOG.error(
                    "{}: a flush failed ({}); writes fail from now on, for earlier ones may be lost", channel, status);
        }
    }

    @Override
    public void flush(ChannelHandlerContext ctx) {
        if (reads.count() > 0) {
            answerReads();
        }
        if (channel.isOpen()) {
            channel.publish();
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        memory.close();
        sequence.abandon();
        reads.clear();
        indirects.close();
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

    /** A drain has to wait, until {@link #letGo}. */
    void hold() {
        stream().hold();
    }

    void letGo() {
        stream().letGo();
    }

    /** Ends a sequence: answers the frontend, and lets the ring go on. */
    void endSequence(long id, int bits, BlockStatus status) {
        answer(id, bits, BlkifStatus.of(status));
        // One completion of the parts' turn: publishes.
        context.fireChannelReadComplete();
        goOn();
    }

    void completeTurn() {
        context.fireChannelReadComplete();
    }
}

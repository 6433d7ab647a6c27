package io.blocktap.transport.loopback;

import io.blocktap.transport.GuestCopies;
import io.blocktap.transport.RingSlots;
import io.blocktap.transport.TapChannel;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.RingSlot;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/** A backend as small as one can be: serves direct and indirect requests from a buffer, at once or when told to. */
final class RamDisk extends ChannelInboundHandlerAdapter {
    final ByteBuf content;
    final AtomicInteger requests = new AtomicInteger();
    final List<Throwable> errors = new CopyOnWriteArrayList<>();

    /** Answers that are held back; of the loop. */
    final ArrayDeque<Runnable> held = new ArrayDeque<>();

    volatile boolean holdAnswers;
    volatile Runnable onRequest = () -> {};
    private TapChannel channel;

    RamDisk(ByteBuf content) {
        this.content = content;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        channel = (TapChannel) ctx.channel();
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        RingSlots slots = (RingSlots) message;
        RingSlot slot;
        while ((slot = slots.next()) != null) {
            take(slot);
        }
    }

    private void take(RingSlot slot) {
        requests.incrementAndGet();
        long id = slot.id();
        int operation = slot.operation() == Blkif.BLKIF_OP_INDIRECT
                ? slot.getUnsignedByte(BlkifLayout.INDIRECT_OP)
                : slot.operation();
        int status = serve(slot);
        Runnable answer = () -> {
            if (channel.isOpen()) {
                channel.ring().respond(id, operation, status, 0);
            }
        };
        if (holdAnswers) {
            held.add(answer);
        } else {
            answer.run();
        }
        onRequest.run();
    }

    /** Answers what was held back. On the loop. */
    void answerHeld() {
        held.forEach(Runnable::run);
        held.clear();
        channel.publish();
    }

    private int serve(RingSlot slot) {
        int at = (int) (slot.sectorNumber() << Blkif.SECTOR_SHIFT);
        return switch (slot.operation()) {
            case Blkif.BLKIF_OP_READ, Blkif.BLKIF_OP_WRITE ->
                transfer(
                        slot.operation(),
                        at,
                        bytesOf(slot),
                        slot.layout().segment(0),
                        slot.getUnsignedByte(BlkifLayout.NR_SEGMENTS));
            case Blkif.BLKIF_OP_INDIRECT -> indirect(slot, at);
            case Blkif.BLKIF_OP_FLUSH_DISKCACHE -> Blkif.BLKIF_RSP_OKAY;
            case Blkif.BLKIF_OP_DISCARD -> {
                int sectors = (int) slot.getLong(slot.layout().discardNrSectors());
                content.setZero(at, sectors << Blkif.SECTOR_SHIFT);
                yield Blkif.BLKIF_RSP_OKAY;
            }
            default -> Blkif.BLKIF_RSP_EOPNOTSUPP;
        };
    }

    private static ByteBuffer bytesOf(RingSlot slot) {
        byte[] bytes = new byte[slot.layout().slotBytes()];
        slot.copyTo(bytes);
        return ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.LITTLE_ENDIAN);
    }

    private int indirect(RingSlot slot, int at) {
        int count = slot.getUnsignedShort(BlkifLayout.INDIRECT_NR_SEGMENTS);
        int gref = slot.getInt(slot.layout().indirectGref(0));
        ByteBuf segments = Unpooled.buffer(Blkif.PAGE_BYTES, Blkif.PAGE_BYTES);
        if (!channel.memory().isValid(gref)
                || !copy(channel.memory().copiesFromGuest(), gref, 0, count * BlkifLayout.SEGMENT_BYTES, segments, 0)) {
            return Blkif.BLKIF_RSP_ERROR;
        }
        return transfer(
                slot.getUnsignedByte(BlkifLayout.INDIRECT_OP),
                at,
                ByteBuffer.wrap(segments.array()).order(java.nio.ByteOrder.LITTLE_ENDIAN),
                0,
                count);
    }

    private int transfer(int operation, int start, ByteBuffer segments, int first, int count) {
        int at = start;
        for (int i = 0; i < count; i++) {
            int segment = first + i * BlkifLayout.SEGMENT_BYTES;
            int gref = segments.getInt(segment);
            int from = segments.get(segment + BlkifLayout.SEGMENT_FIRST_SECT) << Blkif.SECTOR_SHIFT;
            int to = segments.get(segment + BlkifLayout.SEGMENT_LAST_SECT) + 1 << Blkif.SECTOR_SHIFT;
            if (!channel.memory().isValid(gref) || at + to - from > content.capacity()) {
                return Blkif.BLKIF_RSP_ERROR;
            }
            boolean done = operation == Blkif.BLKIF_OP_READ
                    ? copy(channel.memory().copiesToGuest(), gref, from, to - from, content, at)
                    : copy(channel.memory().copiesFromGuest(), gref, from, to - from, content, at);
            if (!done) {
                return Blkif.BLKIF_RSP_ERROR;
            }
            at += to - from;
        }
        return Blkif.BLKIF_RSP_OKAY;
    }

    static boolean copy(GuestCopies copies, int gref, int pageOffset, int length, ByteBuf ours, int index) {
        copies.clear();
        copies.add(gref, pageOffset, length, ours, index);
        copies.run();
        return copies.areDone(0, 1);
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        channel.publish();
        ctx.fireChannelReadComplete();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        errors.add(cause);
    }
}

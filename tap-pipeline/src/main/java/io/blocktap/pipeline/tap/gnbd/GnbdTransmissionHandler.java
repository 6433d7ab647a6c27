package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdReply;
import io.blocktap.pipeline.codec.gnbd.GnbdRequest;
import io.blocktap.pipeline.socket.FaultLog;
import io.blocktap.pipeline.socket.ReplyBatch;
import io.blocktap.pipeline.socket.SocketMemory;
import io.blocktap.pipeline.socket.TransmissionHandler;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * The data side of one session. Checks come in the original server's order: magic number, length, range, then the type. Where that server drops the connection because the
 * disk has failed or can not be written, this one answers with an error; where it reads a payload that no client sends (a READ past the end), this one answers at once.
 *
 * <p>A WRITE is answered when it is on stable storage: it goes down with FUA, or is followed by a FLUSH if the disk has no FUA. With write-back it is answered as soon as
 * the disk has taken it, and DISC flushes.
 *
 * <p>Replies come in the order in which requests end; clients match them by handle. Threads: the channel's event loop. In steady state nothing is allocated for a request.
 */
final class GnbdTransmissionHandler extends TransmissionHandler {
    private static final ReplyBatch.Layout REPLY = new ReplyBatch.Layout() {
        @Override
        public int bytes() {
            return GnbdReply.BYTES;
        }

        @Override
        public void set(ByteBuf target, int index, int errno, long cookie) {
            GnbdReply.set(target, index, errno, cookie);
        }
    };

    private final GnbdRequest header = new GnbdRequest();
    private final GnbdSession session;
    private final long sizeBytes;
    private final long keepAliveMillis;
    private final boolean isReadOnly;
    private final int writeFlags;
    private final boolean flushesWrites;
    private final boolean flushesAtDisc;
    private @Nullable Future<?> keepAlive;

    /**
     * Makes the handler.
     *
     * @param geometry the disk's, at the time of the login
     * @param session settled when the last request was answered
     * @param stopping tells whether the server is going down
     * @param label disk and peer, for logs
     */
    GnbdTransmissionHandler(
            Geometry geometry,
            GnbdSettings settings,
            GnbdSession session,
            SocketMemory memory,
            BooleanSupplier stopping,
            String label,
            FaultLog faults) {
        super(GnbdRequest.BYTES, REPLY, settings.limits().transmission(), memory, stopping, label, faults);
        this.session = session;
        this.sizeBytes = sectors(geometry) * Gnbd.SECTOR_BYTES;
        this.keepAliveMillis = settings.keepAlive().toMillis();
        this.isReadOnly = geometry.has(Feature.READ_ONLY);
        boolean isStable = settings.durability() == GnbdSettings.Durability.STABLE;
        boolean canFlush = geometry.has(Feature.FLUSH) && !isReadOnly;
        this.writeFlags = isStable && geometry.has(Feature.FUA) ? BlockRequest.FUA : 0;
        this.flushesWrites = isStable && writeFlags == 0 && canFlush;
        this.flushesAtDisc = !isStable && canFlush;
    }

    /** Returns a disk's size as clients are told; bytes behind the last whole sector are out of their reach. */
    static long sectors(Geometry geometry) {
        return geometry.sizeBytes() / Gnbd.SECTOR_BYTES;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        super.handlerAdded(ctx);
        if (keepAliveMillis > 0) {
            keepAlive = ctx.channel()
                    .eventLoop()
                    .scheduleAtFixedRate(this::sendKeepAlive, keepAliveMillis, keepAliveMillis, TimeUnit.MILLISECONDS);
        }
    }

    @Override
    protected boolean readHeader(ByteBuf source, int index) {
        return header.read(source, index);
    }

    @Override
    protected boolean handle(boolean refusing) {
        long length = header.lengthBytes();
        int type = header.type();
        if (length > Gnbd.MAX_DATA_BYTES) {
            breakOff("a request of " + length + " bytes; the most is " + Gnbd.MAX_DATA_BYTES);
        } else if (refusing) {
            finish(); // an error would reach the client's programs; a connection that ends is made again
        } else if (!header.isInside(sizeBytes)) {
            answer(Gnbd.ERROR, type == Gnbd.WRITE ? length : 0);
        } else if (type == Gnbd.READ || type == Gnbd.WRITE) {
            return handleData(type, (int) length);
        } else if (type == Gnbd.DISC && flushesAtDisc) {
            serve(BlockOp.FLUSH, 0);
            finish();
        } else if (type == Gnbd.PING) {
            answer(0, 0);
        } else {
            answer(type == Gnbd.DISC ? 0 : Gnbd.ERROR, 0);
            finish();
        }
        return true;
    }

    private boolean handleData(int type, int length) {
        if (length == 0) {
            answer(0, 0);
            return true;
        }
        if (type == Gnbd.WRITE && isReadOnly) {
            answer(Gnbd.ERROR, length);
            return true;
        }
        return hasRoomFor(length) && serve(type == Gnbd.WRITE ? BlockOp.WRITE : BlockOp.READ, length);
    }

    @Override
    protected void describeTo(BlockRequest request) {
        switch (header.type()) {
            case Gnbd.READ -> request.describe(BlockOp.READ, 0, header.offsetBytes(), header.lengthBytes());
            case Gnbd.WRITE -> request.describe(BlockOp.WRITE, writeFlags, header.offsetBytes(), header.lengthBytes());
            default -> request.describe(BlockOp.FLUSH, 0, 0, 0);
        }
        request.withCookie(header.handle(), 0);
    }

    @Override
    protected boolean goesOn(BlockRequest request, BlockStatus status) {
        if (!flushesWrites || status != BlockStatus.OK || request.op() != BlockOp.WRITE) {
            return false;
        }
        BlockRequest flush = stream().newRequest().describe(BlockOp.FLUSH, 0, 0, 0);
        submitMore(flush.withCookie(request.cookie(), 0));
        return true;
    }

    @Override
    protected long cookie() {
        return header.handle();
    }

    @Override
    protected long range() {
        return header.offsetBytes() | header.lengthBytes();
    }

    @Override
    protected int errno(BlockStatus status, BlockOp op) {
        return status == BlockStatus.OK ? 0 : Gnbd.ERROR;
    }

    @Override
    protected void refuseCollected() {
        finish();
    }

    private void sendKeepAlive() {
        ByteBuf message = allocate(GnbdReply.BYTES);
        GnbdReply.appendKeepAlive(message);
        send(message);
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        if (keepAlive != null) {
            keepAlive.cancel(false);
        }
        super.channelInactive(ctx);
        stream().whenIdle(session::settle);
    }
}

package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.codec.nbd.Nbd;
import io.blocktap.pipeline.codec.nbd.NbdExport;
import io.blocktap.pipeline.codec.nbd.NbdRequest;
import io.blocktap.pipeline.codec.nbd.NbdStatus;
import io.blocktap.transport.memory.MemoryBudget;
import io.blocktap.transport.memory.RegionBuf;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import java.io.IOException;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;

/**
 * The transmission phase of one connection: requests in, replies out ({@code proto.md}, "Transmission phase"; simple replies).
 *
 * <p>Everything that one read of the socket has brought is decoded in one go, and the replies of one go are sent together. Back
 * pressure: while too many requests or bytes are in flight, while the client does not take its replies, or while the budget of
 * request data is used up, nothing is decoded and the socket is not read. So a connection holds at most its share in flight, and 1 MiB more in replies that
 * the client has not taken; a client that leaves the server waiting is closed ({@link ProgressWatch}).
 *
 * <p>Threads: the channel's event loop. In steady state nothing is allocated for a request.
 */
final class NbdTransmissionHandler extends ChannelDuplexHandler implements SocketReader.Target {
    /** READs up to this length are answered from the batch that their reply is sent in. */
    private static final int BATCHED_READ_BYTES = 32 << 10;
    /** If at least so much of a WRITE's payload is missing, it is received straight into the request's own buffer. */
    private static final int DIRECT_BYTES = 16 << 10;
    /** After a WRITE of this size the next header is received alone, since another such payload is likely to follow it. */
    private static final int LARGE_WRITE_BYTES = 64 << 10;

    private static final int HEADER_READ_BYTES = 4 << 10;
    /** Replies of this size are sent before the rest of a turn is decoded. */
    private static final int FLUSH_BYTES = 256 << 10;
    /** Payloads of refused WRITEs up to this length are skipped; a longer one ends the connection. */
    private static final long MAX_SKIPPED_BYTES = 64L << 20;

    private enum State {
        /** Requests are taken. */
        SERVING,
        /** No more are; the connection closes when the last one in flight was answered. */
        FINISHING,
        /** The last answer is on its way, or the connection is gone. */
        ENDED
    }

    private final NbdExport export;
    private final NbdLimits limits;
    private final BooleanSupplier stopping;
    private final String label;
    private final Logger log;
    private final ReceiveBuffer received;
    private final ReplyBatch replies;
    private final NbdRequest header = new NbdRequest();
    private final Runnable resume = this::resume;
    private ChannelHandlerContext ctx;
    private ProgressWatch progress;
    private ConnectionShare share;
    private RequestStream stream;
    private Disk disk;

    private State state = State.SERVING;
    private boolean stalled;
    private boolean resumeScheduled;
    private int dataAlignmentBytes;

    /** Of a WRITE whose header is in {@link #header}. */
    private final WritePayload payload = new WritePayload(DIRECT_BYTES);

    private int frameBytes = NbdRequest.BYTES;
    private int readLimit = Integer.MAX_VALUE;

    /**
     * Makes the handler.
     *
     * @param export what the client was told
     * @param stopping tells whether new requests are to be refused, because the server is going down
     * @param label disk and peer, for logs
     */
    @SuppressWarnings("NullAway.Init")
    NbdTransmissionHandler(
            NbdExport export,
            NbdLimits limits,
            SocketMemory memory,
            BooleanSupplier stopping,
            String label,
            Logger log) {
        this.export = export;
        this.limits = limits;
        this.stopping = stopping;
        this.label = label;
        this.log = log;
        this.received = new ReceiveBuffer(memory);
        this.replies = new ReplyBatch(memory);
    }

    /**
     * Begins, after the chain's handler was added behind this one.
     *
     * @param largeRequests what requests above a connection's share may hold, over all connections
     */
    void start(RequestStream newStream, SocketReader reader, MemoryBudget largeRequests) {
        stream = newStream;
        disk = stream.session().disk();
        dataAlignmentBytes = disk.geometry().dataAlignmentBytes();
        share = new ConnectionShare(limits, stream, largeRequests, resume);
        progress =
                new ProgressWatch(ctx.channel(), limits.sendTime(), this::missingBytes, share::isWaitedFor, label, log);
        reader.readInto(this);
    }

    @Override
    public void handlerAdded(ChannelHandlerContext newCtx) {
        ctx = newCtx;
    }

    // ---- receiving

    @Override
    public ByteBuf nextBuffer() {
        return payload.isReadDirectly() ? payload.openWindow(received) : received.openWindow(frameBytes, readLimit);
    }

    @Override
    public void channelRead(ChannelHandlerContext unused, Object message) {
        if (received.isWindow(message)) {
            accept();
            decode();
            return;
        }
        // Bytes that came with the last option, or a channel that reads into buffers of its own.
        ByteBuf bytes = (ByteBuf) message;
        try {
            while (bytes.isReadable()) {
                ByteBuf window = nextBuffer();
                window.writeBytes(bytes, Math.min(window.writableBytes(), bytes.readableBytes()));
                accept();
                decode();
            }
        } finally {
            bytes.release();
        }
    }

    private void accept() {
        boolean direct = payload.isReadDirectly();
        int count = received.receive();
        if (direct) {
            payload.add(count);
        }
    }

    private void decode() {
        boolean refusing = stopping.getAsBoolean();
        while (state == State.SERVING && !stalled) {
            if (payload.isOpen()) {
                if (!collectPayload(refusing)) {
                    return;
                }
            } else if (payload.isSkipping()) {
                if (!skipPayload()) {
                    return;
                }
            } else if (received.readable() < NbdRequest.BYTES) {
                frameBytes = NbdRequest.BYTES;
                return;
            } else if (mustWait()) {
                stall();
            } else if (!header.read(received.bytes(), received.readIndex())) {
                breakOff("a request does not begin with the magic number");
            } else if (!handle(refusing)) {
                return;
            }
            if (replies.unflushedBytes() >= FLUSH_BYTES) {
                flush(ctx);
            }
        }
        if (state != State.SERVING) {
            received.skip(received.readable()); // what follows the end means nothing
        }
    }

    /** Handles the request in {@link #header}; returns false if its payload or memory must be waited for. */
    private boolean handle(boolean refusing) {
        if (header.type() == Nbd.CMD_DISC) {
            received.skip(NbdRequest.BYTES);
            finish();
            return true;
        }
        if (!share.hasRoomFor(header.dataBytes())) {
            stall();
            return false;
        }
        int errno =
                refusing ? Nbd.ESHUTDOWN : header.check(export, disk.geometry().sizeBytes());
        if (errno != 0 || header.lengthBytes() == 0 && header.type() != Nbd.CMD_FLUSH) {
            answerWithoutDisk(errno);
            return true;
        }
        if (!share.mayServe(header.dataBytes())) {
            stall();
            return false;
        }
        if (header.type() == Nbd.CMD_READ) {
            return read((int) header.lengthBytes());
        }
        if (header.type() == Nbd.CMD_WRITE) {
            return write((int) header.lengthBytes());
        }
        received.skip(NbdRequest.BYTES);
        submit(null);
        return true;
    }

    private void answerWithoutDisk(int errno) {
        long length = header.payloadBytes();
        if (length > MAX_SKIPPED_BYTES) {
            breakOff("a WRITE of " + length + " bytes; the client was told that " + Nbd.MAX_PAYLOAD_BYTES
                    + " is the most");
            return;
        }
        received.skip(NbdRequest.BYTES);
        if (length == 0) {
            replies.add(ctx, errno, header.cookie());
        } else {
            payload.beginSkipping(length, errno);
        }
    }

    private boolean skipPayload() {
        if (!payload.skip(received)) {
            frameBytes = 1;
            return false;
        }
        replies.add(ctx, payload.skipErrno(), header.cookie());
        return true;
    }

    private boolean read(int length) {
        RegionBuf data = null;
        if (length <= BATCHED_READ_BYTES) {
            data = replies.tryOpenWindow(length, dataAlignment());
        }
        if (data == null) {
            data = tryAllocate(length);
        }
        if (data == null) {
            return false;
        }
        received.skip(NbdRequest.BYTES);
        submit(data);
        return true;
    }

    private boolean write(int length) {
        int present = received.readable() - NbdRequest.BYTES;
        if (present >= length) {
            RegionBuf data = received.takeWindow(NbdRequest.BYTES, length, dataAlignment());
            if (data != null) {
                received.skip(NbdRequest.BYTES + length);
                submit(data);
                return true;
            }
        } else if (dataAlignment() == 1
                && length - present < DIRECT_BYTES
                && ReceiveBuffer.canCollect(NbdRequest.BYTES + length)) {
            frameBytes = NbdRequest.BYTES + length;
            return false;
        }
        RegionBuf data = tryAllocate(length);
        if (data == null) {
            return false;
        }
        received.skip(NbdRequest.BYTES);
        payload.begin(data);
        return true;
    }

    /** How the data of the request in {@link #header} are to be aligned: a stage that can not use its range as it is copies anyway. */
    private int dataAlignment() {
        long range = header.offsetBytes() | header.lengthBytes();
        return (range & dataAlignmentBytes - 1) == 0 ? dataAlignmentBytes : 1;
    }

    private boolean collectPayload(boolean refusing) {
        if (!payload.collect(received)) {
            frameBytes = 1;
            return false;
        }
        RegionBuf data = payload.take();
        readLimit = data.capacity() >= LARGE_WRITE_BYTES ? HEADER_READ_BYTES : Integer.MAX_VALUE;
        if (refusing) {
            data.release();
            replies.add(ctx, Nbd.ESHUTDOWN, header.cookie());
        } else {
            submit(data);
        }
        return true;
    }

    private void submit(@Nullable RegionBuf data) {
        BlockRequest request = stream.newRequest();
        header.describeTo(request);
        if (data != null) {
            request.withData(data);
        }
        share.submitted(data == null ? 0 : data.capacity());
        ctx.fireChannelRead(request);
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext unused) {
        received.trim();
        ctx.fireChannelReadComplete(); // comes back as a flush
    }

    // ---- answering

    @Override
    public void write(ChannelHandlerContext unused, Object message, ChannelPromise promise) {
        if (!(message instanceof BlockResponse response)) {
            ctx.write(message, promise);
            return;
        }
        BlockRequest request = response.request();
        BlockOp op = request.op();
        share.answered(op.hasData() ? request.dataLength() : 0);
        int errno = NbdStatus.errno(response.status(), op);
        if (errno != 0 || op != BlockOp.READ) {
            replies.add(ctx, errno, request.cookie());
        } else if (request.data() instanceof SocketMemory.Window window && request.dataLength() == window.capacity()) {
            replies.add(ctx, request.cookie(), window);
        } else {
            replies.add(ctx, request.cookie(), request.takeData());
        }
        if (stalled) {
            scheduleResume();
        }
    }

    @Override
    public void flush(ChannelHandlerContext unused) {
        replies.give(ctx);
        ctx.flush();
        replies.flushed();
        progress.watch();
        settle();
        if (state == State.FINISHING && share.isIdle()) {
            state = State.ENDED;
            ctx.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
        }
    }

    // ---- back pressure

    private boolean mustWait() {
        return share.isUsedUp() || !ctx.channel().isWritable();
    }

    private void stall() {
        stalled = true;
        ctx.channel().config().setAutoRead(false);
    }

    /** Takes memory for a request's data; if there is none, stalls until its turn has come. */
    private @Nullable RegionBuf tryAllocate(int length) {
        RegionBuf data = share.tryAllocate(length);
        if (data == null) {
            stall();
        }
        return data;
    }

    private void settle() {
        if (!payload.isOpen() && ctx.channel().isWritable()) {
            share.settle();
        }
    }

    private long missingBytes() {
        return payload.missingBytes();
    }

    private void scheduleResume() {
        if (!resumeScheduled) {
            resumeScheduled = true;
            stream.eventLoop().execute(resume);
        }
    }

    private void resume() {
        resumeScheduled = false;
        if (!stalled || state == State.ENDED) {
            return;
        }
        stalled = false;
        decode();
        if (!stalled && state == State.SERVING) {
            ctx.channel().config().setAutoRead(true);
        }
        received.trim();
        ctx.fireChannelReadComplete();
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext unused) {
        settle();
        if (stalled && ctx.channel().isWritable()) {
            scheduleResume();
        }
        ctx.fireChannelWritabilityChanged();
    }

    // ---- the end

    /** Takes no more requests; closes the connection after the last answer. */
    private void finish() {
        if (state == State.SERVING) {
            state = State.FINISHING;
            ctx.channel().config().setAutoRead(false);
        }
    }

    private void breakOff(String reason) {
        log.warn("{}: {}; the connection is closed", label, reason);
        state = State.ENDED;
        ctx.close();
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext unused, Object event) {
        if (event == NbdTap.CLOSE) {
            finish();
            flush(ctx);
        } else {
            ctx.fireUserEventTriggered(event);
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext unused) {
        state = State.ENDED;
        payload.close();
        share.close();
        received.close();
        replies.close();
        ctx.fireChannelInactive();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext unused, Throwable cause) {
        if (cause instanceof IOException) {
            log.debug("{}: the connection is gone: {}", label, cause.getMessage());
        } else {
            log.error("{}: closed after an unexpected error", label, cause);
        }
        state = State.ENDED;
        ctx.close();
    }
}

package io.blocktap.pipeline.socket;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.transport.memory.MemoryBudget;
import io.blocktap.transport.memory.RegionBuf;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import java.io.IOException;
import java.time.Duration;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;

/**
 * The requests of one connection of a socket tap: frames in, replies out. A protocol's handler extends it and says what a header means ({@link
 * #readHeader}, {@link #handle}).
 *
 * <p>Everything that one read of the socket has brought is decoded in one go, and the replies of one go are sent together. Back
 * pressure: while too many requests or bytes are in flight, while the client does not take its replies, or while the budget of
 * request data is used up, nothing is decoded and the socket is not read. So a connection holds at most its share in flight, and 1 MiB more in replies that
 * the client has not taken; a client that leaves the server waiting is closed ({@link ProgressWatch}).
 *
 * <p>Threads: the channel's event loop. In steady state nothing is allocated for a request.
 */
public abstract class TransmissionHandler extends ChannelDuplexHandler implements SocketReader.Target {
    /** A user event that tells a connection to send what it has and to close. */
    public static final Object CLOSE = new Object() {
        @Override
        public String toString() {
            return "close after the last answer";
        }
    };

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

    /**
     * What one connection may have.
     *
     * @param maxRequests requests in flight
     * @param maxBytes request data in flight, in bytes; one larger request may be alone in flight
     * @param sendTime how long a client may take nothing of its replies, or send nothing more of a WRITE that it has begun
     */
    public record Limits(int maxRequests, long maxBytes, Duration sendTime) {}

    private final Limits limits;
    private final int headerBytes;
    private final BooleanSupplier stopping;
    private final String label;
    private final Logger log;
    private final ReceiveBuffer received;
    private final ReplyBatch replies;
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

    /** Of the WRITE whose header was read last. */
    private final WritePayload payload = new WritePayload(DIRECT_BYTES);

    private int frameBytes;
    private int readLimit = Integer.MAX_VALUE;

    /**
     * Makes the handler.
     *
     * @param headerBytes the length of a request's header
     * @param replyLayout a reply's header
     * @param memory of the channel's event loop
     * @param stopping tells whether new requests are to be refused, because the server is going down
     * @param label disk and peer, for logs
     */
    @SuppressWarnings("NullAway.Init")
    protected TransmissionHandler(
            int headerBytes,
            ReplyBatch.Layout replyLayout,
            Limits limits,
            SocketMemory memory,
            BooleanSupplier stopping,
            String label,
            Logger log) {
        this.headerBytes = headerBytes;
        this.frameBytes = headerBytes;
        this.limits = limits;
        this.stopping = stopping;
        this.label = label;
        this.log = log;
        this.received = new ReceiveBuffer(memory);
        this.replies = new ReplyBatch(memory, replyLayout);
    }

    // ---- what a protocol says

    /**
     * Reads the header of the next request.
     *
     * @return whether it begins with the magic number; if not, the stream is out of step and can not be used any more
     */
    protected abstract boolean readHeader(ByteBuf source, int index);

    /**
     * Handles the request whose header was read last, by exactly one of {@link #serve}, {@link #answer}, {@link #finish} and {@link #breakOff}.
     *
     * @param refusing whether the server is going down
     * @return false if it must be waited for something; then the same header is read again
     */
    protected abstract boolean handle(boolean refusing);

    /** Describes the request whose header was read last. */
    protected abstract void describeTo(BlockRequest request);

    /** Returns the client's id of the request whose header was read last. */
    protected abstract long cookie();

    /** Returns the bits of its offset and length together. */
    protected abstract long range();

    /** Returns the protocol's error number, 0 for {@link BlockStatus#OK}. */
    protected abstract int errno(BlockStatus status, BlockOp op);

    /** Refuses the WRITE whose header was read last and whose payload was dropped, because the server is going down. */
    protected void refuseCollected() {
        replies.add(ctx, errno(BlockStatus.SHUTDOWN, BlockOp.WRITE), cookie());
    }

    /**
     * Called when a request has ended, before its reply is made.
     *
     * @return whether another request was submitted in its place, whose answer becomes the reply
     */
    protected boolean goesOn(BlockRequest request, BlockStatus status) {
        return false;
    }

    /**
     * Begins, after the chain's handler was added behind this one.
     *
     * @param largeRequests what requests above a connection's share may hold, over all connections
     */
    public final void start(RequestStream newStream, SocketReader reader, MemoryBudget largeRequests) {
        stream = newStream;
        disk = stream.session().disk();
        dataAlignmentBytes = disk.geometry().dataAlignmentBytes();
        share = new ConnectionShare(limits.maxRequests(), limits.maxBytes(), stream, largeRequests, resume);
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
            } else if (received.readable() < headerBytes) {
                frameBytes = headerBytes;
                return;
            } else if (mustWait()) {
                stall();
            } else if (!readHeader(received.bytes(), received.readIndex())) {
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

    /** Returns whether a request that moves so many bytes may be served now; if not, {@link #handle} is to return false. */
    private boolean admits(long dataBytes) {
        if (share.mayServe(dataBytes)) {
            return true;
        }
        stall();
        return false;
    }

    /** Returns whether there is room for so much more data in flight; if not, {@link #handle} is to return false. */
    protected final boolean hasRoomFor(long dataBytes) {
        if (share.hasRoomFor(dataBytes)) {
            return true;
        }
        stall();
        return false;
    }

    /**
     * Sends the request down the chain.
     *
     * @param op what it is
     * @param length the length of its data, at least 1; not looked at if it has none
     * @return what {@link #handle} is to return
     */
    protected final boolean serve(BlockOp op, int length) {
        if (!admits(op.hasData() ? length : 0)) {
            return false;
        }
        if (op == BlockOp.READ) {
            return read(length);
        }
        if (op == BlockOp.WRITE) {
            return write(length);
        }
        received.skip(headerBytes);
        submit(null);
        return true;
    }

    /**
     * Answers the request without the disk.
     *
     * @param errno 0 or the protocol's error number
     * @param payloadBytes what follows the header, to be dropped first
     */
    protected final void answer(int errno, long payloadBytes) {
        if (payloadBytes > MAX_SKIPPED_BYTES) {
            breakOff("a WRITE of " + payloadBytes + " bytes; " + MAX_SKIPPED_BYTES + " is the most that is dropped");
            return;
        }
        received.skip(headerBytes);
        if (payloadBytes == 0) {
            replies.add(ctx, errno, cookie());
        } else {
            payload.beginSkipping(payloadBytes, errno);
        }
    }

    /** Sends a request that the protocol's handler has made itself; for {@link #goesOn}. */
    protected final void submitMore(BlockRequest request) {
        share.submitted(0);
        stream.submit(request);
    }

    /** Returns where requests are made. */
    protected final RequestStream stream() {
        return stream;
    }

    /** Returns the disk that is served. */
    protected final Disk disk() {
        return disk;
    }

    /** Returns a small direct buffer for {@link #send}. */
    protected final ByteBuf allocate(int bytes) {
        return ctx.alloc().directBuffer(bytes);
    }

    /** Sends bytes of the protocol's own between two replies. */
    protected final void send(ByteBuf bytes) {
        replies.give(ctx);
        ctx.writeAndFlush(bytes, ctx.voidPromise());
    }

    private boolean skipPayload() {
        if (!payload.skip(received)) {
            frameBytes = 1;
            return false;
        }
        replies.add(ctx, payload.skipErrno(), cookie());
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
        received.skip(headerBytes);
        submit(data);
        return true;
    }

    private boolean write(int length) {
        int present = received.readable() - headerBytes;
        if (present >= length) {
            RegionBuf data = received.takeWindow(headerBytes, length, dataAlignment());
            if (data != null) {
                received.skip(headerBytes + length);
                submit(data);
                return true;
            }
        } else if (dataAlignment() == 1
                && length - present < DIRECT_BYTES
                && ReceiveBuffer.canCollect(headerBytes + length)) {
            frameBytes = headerBytes + length;
            return false;
        }
        RegionBuf data = tryAllocate(length);
        if (data == null) {
            return false;
        }
        received.skip(headerBytes);
        payload.begin(data);
        return true;
    }

    /** How the data of the request whose header was read last are to be aligned: a stage that can not use its range as it is copies anyway. */
    private int dataAlignment() {
        return (range() & dataAlignmentBytes - 1) == 0 ? dataAlignmentBytes : 1;
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
            refuseCollected();
        } else {
            submit(data);
        }
        return true;
    }

    private void submit(@Nullable RegionBuf data) {
        BlockRequest request = stream.newRequest();
        describeTo(request);
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
        if (goesOn(request, response.status())) {
            return;
        }
        int errno = errno(response.status(), op);
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
    protected final void finish() {
        if (state == State.SERVING) {
            state = State.FINISHING;
            ctx.channel().config().setAutoRead(false);
        }
    }

    /** Closes the connection at once, with one line in the log. */
    protected final void breakOff(String reason) {
        log.warn("{}: {}; the connection is closed", label, reason);
        state = State.ENDED;
        ctx.close();
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext unused, Object event) {
        if (event == CLOSE) {
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

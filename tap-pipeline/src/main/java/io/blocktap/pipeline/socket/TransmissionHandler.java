package io.blocktap.pipeline.socket;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.transport.memory.MemoryBudget;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import java.io.IOException;
import java.time.Duration;
import java.util.function.BooleanSupplier;

/**
 * The requests of one connection of a socket tap: frames in, replies out. A protocol's handler extends it and says what a header means ({@link
 * #readHeader}, {@link #handle}). It stands between Netty and the parts of a connection: {@link RequestIntake} with {@link RequestReceiver}, {@link
 * IntakeValve}, {@link ReplyBatch}, {@link ProgressWatch}.
 *
 * <p>Everything that one read of the socket has brought is decoded in one go, and the replies of one go are sent together. Back
 * pressure: while too many requests or bytes are in flight, while the client does not take its replies, or while the budget of
 * request data is used up, nothing is decoded and the socket is not read ({@link IntakeValve}). So a connection holds at most its share in flight, and 1 MiB more in replies that
 * the client has not taken; a client that leaves the server waiting is closed ({@link ProgressWatch}).
 *
 * <p>Threads: the channel's event loop. In steady state nothing is allocated for a request.
 */
public abstract class TransmissionHandler extends ChannelDuplexHandler {
    /** A user event that tells a connection to send what it has and to close. */
    public static final Object CLOSE = new Object() {
        @Override
        public String toString() {
            return "close after the last answer";
        }
    };

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
    private final BooleanSupplier stopping;
    private final String label;
    private final FaultLog faults;
    private final RequestReceiver receiver;
    private final ReplyBatch replies;
    private ChannelHandlerContext ctx;
    private ProgressWatch progress;
    private IntakeValve valve;
    private RequestIntake intake;
    private RequestStream stream;
    private Disk disk;

    private State state = State.SERVING;

    /**
     * Makes the handler.
     *
     * @param headerBytes the length of a request's header
     * @param replyLayout a reply's header
     * @param memory of the channel's event loop
     * @param stopping tells whether new requests are to be refused, because the server is going down
     * @param label disk and peer, for logs
     * @param faults where it is told what the client does wrong
     */
    @SuppressWarnings("NullAway.Init")
    protected TransmissionHandler(
            int headerBytes,
            ReplyBatch.Layout replyLayout,
            Limits limits,
            SocketMemory memory,
            BooleanSupplier stopping,
            String label,
            FaultLog faults) {
        this.limits = limits;
        this.stopping = stopping;
        this.label = label;
        this.faults = faults;
        this.receiver = new RequestReceiver(headerBytes, memory);
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
        valve = new IntakeValve(ctx.channel(), limits, stream, largeRequests, this::resume);
        intake = new RequestIntake(this, ctx, receiver, replies, valve, stream);
        progress = new ProgressWatch(
                ctx.channel(), limits.sendTime(), receiver::missingBytes, valve::isWaitedFor, label, faults);
        reader.readInto(receiver);
    }

    @Override
    public void handlerAdded(ChannelHandlerContext newCtx) {
        ctx = newCtx;
    }

    // ---- receiving

    @Override
    public void channelRead(ChannelHandlerContext unused, Object message) {
        intake.receive((ByteBuf) message, stopping.getAsBoolean());
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext unused) {
        receiver.trim();
        ctx.fireChannelReadComplete(); // comes back as a flush
    }

    // ---- for the protocol

    /** Returns whether there is room for so much more data in flight; if not, {@link #handle} is to return false. */
    protected final boolean hasRoomFor(long dataBytes) {
        return valve.hasRoomFor(dataBytes);
    }

    /**
     * Sends the request down the chain.
     *
     * @param op what it is
     * @param length the length of its data, at least 1; not looked at if it has none
     * @return what {@link #handle} is to return
     */
    protected final boolean serve(BlockOp op, int length) {
        return intake.serve(op, length);
    }

    /**
     * Answers the request without the disk.
     *
     * @param errno 0 or the protocol's error number
     * @param payloadBytes what follows the header, to be dropped first
     */
    protected final void answer(int errno, long payloadBytes) {
        intake.answer(errno, payloadBytes);
    }

    /** Sends a request that the protocol's handler has made itself; for {@link #goesOn}. */
    protected final void submitMore(BlockRequest request) {
        valve.submitted(0);
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

    /** Sends bytes of the protocol's own between two replies. They are replies, too, that a client has to take. */
    protected final void send(ByteBuf bytes) {
        replies.give(ctx);
        ctx.write(bytes, ctx.voidPromise());
        flush(ctx);
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
        valve.answered(op.hasData() ? request.dataLength() : 0);
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
    }

    @Override
    public void flush(ChannelHandlerContext unused) {
        replies.give(ctx);
        ctx.flush();
        replies.flushed();
        progress.watch();
        settle();
        if (state == State.FINISHING && valve.isIdle()) {
            state = State.ENDED;
            ctx.writeAndFlush(Unpooled.EMPTY_BUFFER).addListener(ChannelFutureListener.CLOSE);
        }
    }

    // ---- back pressure

    private void settle() {
        if (!receiver.isCollecting()) {
            valve.settle();
        }
    }

    private void resume() {
        if (!valve.open() || state == State.ENDED) {
            return;
        }
        intake.decode(stopping.getAsBoolean());
        if (!valve.isShut() && isServing()) {
            ctx.channel().config().setAutoRead(true);
        }
        receiver.trim();
        ctx.fireChannelReadComplete();
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext unused) {
        settle();
        valve.writabilityChanged();
        ctx.fireChannelWritabilityChanged();
    }

    // ---- the end

    /** Returns whether requests are taken. */
    final boolean isServing() {
        return state == State.SERVING;
    }

    /** Takes no more requests; closes the connection after the last answer. */
    protected final void finish() {
        if (state == State.SERVING) {
            state = State.FINISHING;
            ctx.channel().config().setAutoRead(false);
        }
    }

    /** Closes the connection at once, and says why. */
    protected final void breakOff(String reason) {
        faults.tell(FaultLog.Kind.PROTOCOL, label, reason + "; the connection is closed");
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
        valve.close();
        receiver.close();
        replies.close();
        ctx.fireChannelInactive();
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext unused, Throwable cause) {
        if (cause instanceof IOException) {
            faults.log().debug("{}: the connection is gone: {}", label, cause.getMessage());
        } else {
            faults.log().error("{}: closed after an unexpected error", label, cause);
        }
        state = State.ENDED;
        ctx.close();
    }
}

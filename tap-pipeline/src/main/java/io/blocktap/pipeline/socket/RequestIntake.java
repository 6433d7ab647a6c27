package io.blocktap.pipeline.socket;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.transport.memory.RegionBuf;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import org.jspecify.annotations.Nullable;

/**
 * Makes requests of what a connection has received, and sends them down the chain. What a header means is the protocol's business, that is, of a {@link
 * TransmissionHandler}.
 *
 * <p>Threads: the connection's event loop. In steady state nothing is allocated for a request.
 */
final class RequestIntake {
    /** READs up to this length are answered from the batch that their reply is sent in. */
    private static final int BATCHED_READ_BYTES = 32 << 10;
    /** Replies of this size are sent before the rest of a turn is decoded. */
    private static final int FLUSH_BYTES = 256 << 10;
    /** Payloads of refused WRITEs up to this length are skipped; a longer one ends the connection. */
    private static final long MAX_SKIPPED_BYTES = 64L << 20;

    private final TransmissionHandler protocol;
    private final ChannelHandlerContext ctx;
    private final RequestReceiver receiver;
    private final ReplyBatch replies;
    private final IntakeValve valve;
    private final RequestStream stream;
    private final int dataAlignmentBytes;

    /**
     * Makes the intake of one connection.
     *
     * @param protocol knows what headers mean
     * @param ctx of the protocol's handler; requests go to the next one
     */
    RequestIntake(
            TransmissionHandler protocol,
            ChannelHandlerContext ctx,
            RequestReceiver receiver,
            ReplyBatch replies,
            IntakeValve valve,
            RequestStream stream) {
        this.protocol = protocol;
        this.ctx = ctx;
        this.receiver = receiver;
        this.replies = replies;
        this.valve = valve;
        this.stream = stream;
        this.dataAlignmentBytes = stream.session().disk().geometry().dataAlignmentBytes();
    }

    /**
     * Takes what was received.
     *
     * @param message owned by this method
     * @param refusing whether the server is going down
     */
    void receive(ByteBuf message, boolean refusing) {
        if (receiver.isWindow(message)) {
            receiver.accept();
            decode(refusing);
            return;
        }
        // Bytes that came with the last option, or a channel that reads into buffers of its own.
        try {
            while (message.isReadable()) {
                ByteBuf window = receiver.nextBuffer();
                window.writeBytes(message, Math.min(window.writableBytes(), message.readableBytes()));
                receiver.accept();
                decode(refusing);
            }
        } finally {
            message.release();
        }
    }

    /** Handles all requests that are there, until one must be waited for. */
    void decode(boolean refusing) {
        while (protocol.isServing() && !valve.isShut()) {
            if (!step(refusing)) {
                return;
            }
            if (replies.unflushedBytes() >= FLUSH_BYTES) {
                protocol.flush(ctx);
            }
        }
        if (!protocol.isServing()) {
            receiver.dropAll(); // what follows the end means nothing
        }
    }

    /** Handles one request, or goes on with its payload; returns false if something must be waited for. */
    private boolean step(boolean refusing) {
        if (receiver.isCollecting()) {
            return collectPayload(refusing);
        }
        if (receiver.isSkipping()) {
            return skipPayload();
        }
        if (!receiver.hasHeader() || !valve.admitsAny()) {
            return false;
        }
        if (!protocol.readHeader(receiver.bytes(), receiver.headerIndex())) {
            protocol.breakOff("a request does not begin with the magic number");
            return true;
        }
        return protocol.handle(refusing);
    }

    // ---- what the protocol says to a header

    /** See {@link TransmissionHandler#serve}. */
    boolean serve(BlockOp op, int length) {
        if (!valve.admits(op.hasData() ? length : 0)) {
            return false;
        }
        if (op == BlockOp.READ) {
            return read(length);
        }
        if (op == BlockOp.WRITE) {
            return write(length);
        }
        receiver.skipHeader();
        submit(null);
        return true;
    }

    /** See {@link TransmissionHandler#answer}. */
    void answer(int errno, long payloadBytes) {
        if (payloadBytes > MAX_SKIPPED_BYTES) {
            protocol.breakOff(
                    "a WRITE of " + payloadBytes + " bytes; " + MAX_SKIPPED_BYTES + " is the most that is dropped");
        } else if (payloadBytes > 0) {
            receiver.beginSkipping(payloadBytes, errno);
        } else {
            receiver.skipHeader();
            replies.add(ctx, errno, protocol.cookie());
        }
    }

    // ---- READ and WRITE

    private boolean read(int length) {
        RegionBuf data = null;
        if (length <= BATCHED_READ_BYTES) {
            data = replies.tryOpenWindow(length, dataAlignment());
        }
        if (data == null) {
            data = valve.tryAllocate(length);
        }
        if (data == null) {
            return false;
        }
        receiver.skipHeader();
        submit(data);
        return true;
    }

    private boolean write(int length) {
        if (receiver.hasPayload(length)) {
            RegionBuf data = receiver.tryTakePayload(length, dataAlignment());
            if (data != null) {
                submit(data);
                return true;
            }
        } else if (dataAlignment() == 1 && receiver.gathersBehind(length)) {
            return false;
        }
        RegionBuf data = valve.tryAllocate(length);
        if (data == null) {
            return false;
        }
        receiver.beginPayload(data);
        return true;
    }

    /** How the data of the request whose header was read last are to be aligned: a stage that can not use its range as it is copies anyway. */
    private int dataAlignment() {
        return (protocol.range() & dataAlignmentBytes - 1) == 0 ? dataAlignmentBytes : 1;
    }

    private boolean collectPayload(boolean refusing) {
        if (!receiver.collect()) {
            return false;
        }
        RegionBuf data = receiver.takePayload();
        if (refusing) {
            data.release();
            protocol.refuseCollected();
        } else {
            submit(data);
        }
        return true;
    }

    private boolean skipPayload() {
        if (!receiver.skip()) {
            return false;
        }
        replies.add(ctx, receiver.skipErrno(), protocol.cookie());
        return true;
    }

    private void submit(@Nullable RegionBuf data) {
        BlockRequest request = stream.newRequest();
        protocol.describeTo(request);
        if (data != null) {
            request.withData(data);
        }
        valve.submitted(data == null ? 0 : data.capacity());
        ctx.fireChannelRead(request);
    }
}

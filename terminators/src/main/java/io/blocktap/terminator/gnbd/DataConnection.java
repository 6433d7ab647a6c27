package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.codec.gnbd.GnbdLoginReply;
import io.blocktap.pipeline.codec.gnbd.GnbdReply;
import io.blocktap.pipeline.codec.gnbd.GnbdRequest;
import io.blocktap.pipeline.socket.ReceiveBuffer;
import io.blocktap.pipeline.socket.SendBatch;
import io.blocktap.pipeline.socket.SocketMemory;
import io.blocktap.pipeline.socket.SocketReader;
import io.blocktap.transport.memory.RegionBuf;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.unix.Errors;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One session with the server: LOGIN, then requests out and replies in. Before it is used it answers a PING: a server that says yes to the LOGIN and ends the
 * session at once (the original does so if the disk's size has changed) has not let us in.
 *
 * <p>Data of a large READ go from the socket into the request's own buffer, and a large WRITE's from there to the socket.
 *
 * <p>Threads: the home loop. In steady state nothing is allocated for a request.
 */
final class DataConnection extends ChannelInboundHandlerAdapter implements SocketReader.Target {
    private static final Logger LOG = LoggerFactory.getLogger(GnbdTerminator.class);
    private static final long PING_HANDLE = -1;
    private static final long DISC_HANDLE = -2;
    /** WRITEs up to this length are copied behind their header: cheaper than a buffer of their own. */
    private static final int COPY_BYTES = 4 << 10;
    /** If at least so much of a READ's data is missing, they are received straight into the request's own buffer. */
    private static final int DIRECT_BYTES = 16 << 10;
    /** After a READ of this size the next header is received nearly alone, since other such data are likely to follow it, which go to their place without a copy. */
    private static final int LARGE_READ_BYTES = 64 << 10;

    private static final int HEADER_READ_BYTES = 4 << 10;
    /** So many bytes are sent before the rest of a turn is put together. */
    private static final int FLUSH_BYTES = 256 << 10;

    private enum Phase {
        /** LOGIN is sent. */
        LOGIN,
        /** The server has said yes; PING is sent. */
        PING,
        /** Requests may be sent. */
        OPEN,
        /** DISC is sent, or the connection is of no use any more. */
        ENDED
    }

    /** Hears what becomes of pieces and of the connection. */
    interface Owner {
        /** Finds the piece in flight on this connection that a reply speaks of. */
        @Nullable
        Piece find(long handle, DataConnection connection);

        /** A piece has ended. */
        void answered(Piece piece, BlockStatus status);

        /**
         * An open connection has ended or was given up; not after {@link #leave}.
         *
         * @param isPeers whether the server has ended it
         */
        void broken(DataConnection connection, String reason, boolean isPeers);
    }

    private final GnbdControl login;
    private final Owner owner;
    private final OutgoingData outgoing;
    private final ReceiveBuffer received;
    private final SendBatch batch;
    private final CompletableFuture<Long> opened = new CompletableFuture<>();
    private Phase phase = Phase.LOGIN;
    private long sectors;
    private ChannelHandlerContext ctx;
    private int inFlight;
    /** The READ whose data are coming. */
    private @Nullable Piece reading;

    private int readingBytes;
    private int frameBytes = GnbdLoginReply.BYTES;
    private int readLimit = Integer.MAX_VALUE;

    @SuppressWarnings("NullAway.Init")
    DataConnection(GnbdControl login, SocketMemory memory, OutgoingData outgoing, Owner owner) {
        this.login = login;
        this.owner = owner;
        this.outgoing = outgoing;
        this.received = new ReceiveBuffer(memory);
        this.batch = new SendBatch(memory, GnbdRequest.BYTES);
    }

    /** Returns what completes with the disk's size in sectors when requests may be sent, or with the reason why not. */
    CompletableFuture<Long> opened() {
        return opened;
    }

    /** Returns whether requests may be sent. */
    boolean isOpen() {
        return phase == Phase.OPEN;
    }

    /** Returns how many pieces are in flight. */
    int inFlight() {
        return inFlight;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext newCtx) {
        ctx = newCtx;
    }

    @Override
    public void channelActive(ChannelHandlerContext unused) {
        ByteBuf request = ctx.alloc().directBuffer(GnbdControl.MAX_BYTES);
        login.append(request);
        ctx.writeAndFlush(request, ctx.voidPromise());
    }

    // ---- sending

    /** Adds a piece to what is sent with the next {@link #flush}. */
    void send(Piece piece) {
        inFlight++;
        boolean isWrite = piece.isWrite();
        int length = piece.lengthBytes;
        int copied = isWrite && length <= COPY_BYTES ? length : 0;
        int index = batch.place(ctx, copied);
        RegionBuf placed = batch.placed();
        GnbdRequest.set(
                placed,
                index,
                isWrite ? Gnbd.WRITE : Gnbd.READ,
                piece.newHandle(),
                piece.request().offsetBytes() + piece.startBytes,
                length);
        if (copied > 0) {
            placed.setBytes(index + GnbdRequest.BYTES, piece.request().data(), piece.startBytes, length);
        } else if (isWrite) {
            batch.addData(ctx, outgoing.window(piece.request().data(), piece.startBytes, length));
        }
        if (batch.unflushedBytes() >= FLUSH_BYTES) {
            flush();
        }
    }

    private void send(int type, long handle) {
        int index = batch.place(ctx, 0);
        GnbdRequest.set(batch.placed(), index, type, handle, 0, 0);
        flush();
    }

    /** Sends what was added. */
    void flush() {
        if (batch.unflushedBytes() > 0) {
            batch.give(ctx);
            ctx.flush();
            batch.flushed();
        }
    }

    // ---- receiving

    @Override
    public ByteBuf nextBuffer() {
        Piece piece = reading;
        if (piece != null && isDirect(piece)) {
            return received.openWindow(
                    (RegionBuf) piece.request().data(),
                    piece.startBytes + readingBytes,
                    piece.lengthBytes - readingBytes);
        }
        return received.openWindow(frameBytes, readLimit);
    }

    private boolean isDirect(Piece piece) {
        return piece.lengthBytes - readingBytes >= DIRECT_BYTES
                && received.readable() == 0
                && piece.request().data() instanceof RegionBuf;
    }

    @Override
    public void channelRead(ChannelHandlerContext unused, Object message) {
        if (received.isWindow(message)) {
            accept();
            return;
        }
        // A channel that reads into buffers of its own.
        ByteBuf bytes = (ByteBuf) message;
        try {
            while (bytes.isReadable() && phase != Phase.ENDED) {
                ByteBuf window = nextBuffer();
                window.writeBytes(bytes, Math.min(window.writableBytes(), bytes.readableBytes()));
                accept();
            }
        } finally {
            bytes.release();
        }
    }

    private void accept() {
        boolean direct = received.isOverData();
        int count = received.receive();
        if (direct) {
            readingBytes += count;
        }
        decode();
    }

    private void decode() {
        while (phase != Phase.ENDED) {
            Piece piece = reading;
            if (piece != null) {
                if (!collect(piece)) {
                    return;
                }
            } else if (received.readable() < frameBytes) {
                return;
            } else if (phase == Phase.LOGIN) {
                readLoginReply();
            } else {
                readReply();
            }
        }
        received.skip(received.readable());
    }

    private void readLoginReply() {
        GnbdLoginReply reply = GnbdLoginReply.read(received.bytes(), received.readIndex());
        received.skip(GnbdLoginReply.BYTES);
        frameBytes = GnbdReply.BYTES;
        if (reply.errno() != 0) {
            failOpening(new ServerException(
                    "the server refuses the login: " + ServerException.why(reply.errno(), reply.version()), true));
            return;
        }
        sectors = reply.sectors();
        phase = Phase.PING;
        send(Gnbd.PING, PING_HANDLE);
    }

    private void readReply() {
        RegionBuf bytes = received.bytes();
        int index = received.readIndex();
        int magic = GnbdReply.magic(bytes, index);
        int error = GnbdReply.error(bytes, index);
        long handle = GnbdReply.handle(bytes, index);
        received.skip(GnbdReply.BYTES);
        if (magic == Gnbd.KEEP_ALIVE_MAGIC) {
            return; // all else in it is undefined
        }
        if (magic != Gnbd.REPLY_MAGIC) {
            giveUp("what the server sends is no reply");
        } else if (handle == PING_HANDLE && phase == Phase.PING) {
            phase = Phase.OPEN;
            opened.complete(sectors);
        } else {
            onReply(owner.find(handle, this), error);
        }
    }

    private void onReply(@Nullable Piece piece, int error) {
        if (piece == null) {
            giveUp("the server answers what was not asked");
        } else if (error != 0) {
            end(piece, BlockStatus.IO_ERROR);
        } else if (piece.request().op() == BlockOp.READ) {
            reading = piece;
            readingBytes = 0;
            readLimit = piece.lengthBytes >= LARGE_READ_BYTES ? HEADER_READ_BYTES : Integer.MAX_VALUE;
        } else {
            end(piece, BlockStatus.OK);
        }
    }

    /** Moves what was received of a READ's data to their place, and returns whether that was all. */
    private boolean collect(Piece piece) {
        int now = Math.min(piece.lengthBytes - readingBytes, received.readable());
        if (now > 0) {
            piece.request()
                    .data()
                    .setBytes(piece.startBytes + readingBytes, received.bytes(), received.readIndex(), now);
            received.skip(now);
            readingBytes += now;
        }
        if (readingBytes < piece.lengthBytes) {
            return false;
        }
        reading = null;
        end(piece, BlockStatus.OK);
        return true;
    }

    private void end(Piece piece, BlockStatus status) {
        inFlight--;
        owner.answered(piece, status);
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext unused) {
        received.trim();
    }

    // ---- the end

    /** Tells the server that the session is over, and ends it when the server has answered. */
    void leave() {
        if (phase == Phase.OPEN) {
            send(Gnbd.DISC, DISC_HANDLE);
            phase = Phase.ENDED;
        } else {
            drop();
        }
    }

    /** Ends the connection at once; the owner hears nothing more of it. */
    void drop() {
        phase = Phase.ENDED;
        reading = null;
        ctx.close();
    }

    private void giveUp(String reason) {
        boolean wasOpen = phase == Phase.OPEN;
        drop();
        if (wasOpen) {
            owner.broken(this, reason, false);
        } else {
            opened.completeExceptionally(new ServerException(reason, true));
        }
    }

    private void failOpening(ServerException reason) {
        drop();
        opened.completeExceptionally(reason);
    }

    @Override
    public void channelInactive(ChannelHandlerContext unused) {
        end("the server has closed the connection", true);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext unused, Throwable cause) {
        boolean isPeers = cause instanceof Errors.NativeIoException system
                && (system.expectedErr() == Errors.ERRNO_ECONNRESET_NEGATIVE
                        || system.expectedErr() == Errors.ERRNO_EPIPE_NEGATIVE);
        if (!(cause instanceof IOException)) {
            LOG.error("a session is given up after an unexpected error", cause);
        }
        end(isPeers ? "the server has reset the connection" : Attempt.why(cause), isPeers);
    }

    private void end(String reason, boolean isPeers) {
        Phase was = phase;
        drop();
        received.close();
        batch.close();
        if (was == Phase.OPEN) {
            owner.broken(this, reason, isPeers);
        } else if (!opened.isDone()) {
            opened.completeExceptionally(new ServerException(
                    was == Phase.PING
                            ? "the server ends the session as soon as it has begun; has the disk changed its size?"
                            : reason,
                    was == Phase.PING));
        }
    }
}

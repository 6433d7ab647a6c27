package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.ChainHandler;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.Session;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.codec.gnbd.GnbdExport;
import io.blocktap.pipeline.codec.gnbd.GnbdLoginReply;
import io.blocktap.pipeline.codec.gnbd.GnbdProtocolException;
import io.blocktap.pipeline.codec.gnbd.GnbdText;
import io.blocktap.pipeline.socket.ChannelMove;
import io.blocktap.pipeline.socket.FaultLog;
import io.blocktap.pipeline.socket.OpeningHandler;
import io.blocktap.pipeline.socket.SocketReader;
import io.blocktap.transport.Printable;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.EventLoop;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * The one control request of a connection. Its answer ends the connection, but for a LOGIN that is accepted: then this handler makes room for the data side.
 *
 * <p>Bytes behind a request are dropped, as the original drops them: a client waits for the answer to its LOGIN before it asks for data.
 *
 * <p>Threads: the channel's event loop.
 */
final class GnbdControlHandler extends OpeningHandler {
    private final GnbdTap tap;
    private final SocketReader reader;
    private final String peer;
    private @Nullable ByteBuf received;
    /** The request is there; more bytes mean nothing. */
    private boolean answered;

    GnbdControlHandler(GnbdTap tap, SocketReader reader, String peer) {
        super(
                tap.server(),
                "gnbd " + peer,
                tap.settings().controlTime(),
                "its control request took more than %d ms (control-timeout)");
        this.tap = tap;
        this.reader = reader;
        this.peer = peer;
    }

    // ---- life

    @Override
    protected void goAway() {
        end();
        ctx().close();
    }

    @Override
    protected void drop() {
        answered = true;
        if (received != null) {
            received.release();
            received = null;
        }
    }

    // ---- the request

    @Override
    public void channelRead(ChannelHandlerContext unused, Object message) {
        ByteBuf bytes = (ByteBuf) message;
        try {
            if (!answered) {
                gather(bytes);
            }
        } finally {
            bytes.release();
        }
    }

    private void gather(ByteBuf bytes) {
        ByteBuf all = received;
        if (all == null) {
            all = ctx().alloc().directBuffer(GnbdControl.MAX_BYTES, GnbdControl.MAX_BYTES);
            received = all;
        }
        all.writeBytes(bytes, Math.min(bytes.readableBytes(), all.writableBytes()));
        try {
            GnbdControl request = GnbdControl.read(all, 0, all.readableBytes());
            if (request != null) {
                all.release();
                received = null;
                answered = true;
                answer(request);
            }
        } catch (GnbdProtocolException e) {
            tell(FaultLog.Kind.PROTOCOL, e.getMessage() + "; the connection is closed");
            end();
            ctx().close();
        }
    }

    private void answer(GnbdControl request) {
        GnbdSessions sessions = tap.sessions();
        switch (request.command()) {
            case Gnbd.NAMES -> {
                List<GnbdExport> exports = tap.exports().describe();
                ByteBuf reply = list(exports.size() * GnbdExport.BYTES);
                exports.forEach(export -> export.append(reply));
                closeAfter(reply);
            }
            case Gnbd.LIST_BANNED -> {
                List<String> banned = sessions.banned();
                ByteBuf reply = list(banned.size() * Gnbd.NODE_BYTES);
                banned.forEach(node -> GnbdText.append(reply, node, Gnbd.NODE_BYTES));
                closeAfter(reply);
            }
            case Gnbd.NODENAME -> {
                String name = tap.nodeName();
                ByteBuf reply = list(name.length() + 1);
                GnbdText.append(reply, name, name.length() + 1);
                closeAfter(reply);
            }
            case Gnbd.UID -> {
                if (tap.exports().find(request.device()) == null) {
                    closeAfter(status(Gnbd.ENODEV));
                } else {
                    closeAfter(list(0)); // exports have no ids
                }
            }
            case Gnbd.FENCE -> {
                tell(FaultLog.Kind.REFUSED, "fences node " + Printable.of(request.node()));
                replyWhen(sessions.fence(node(request)));
            }
            case Gnbd.UNFENCE -> {
                sessions.unfence(node(request));
                closeAfter(status(0));
            }
            case Gnbd.KILL_GSERV -> {
                if (tap.exports().find(request.device()) == null) {
                    closeAfter(status(Gnbd.ENODEV));
                } else {
                    replyWhen(sessions.kill(request.device(), node(request), this::tellKilled)
                            .thenApply(done -> 0));
                }
            }
            default -> login(request);
        }
    }

    /** For whoever asks why a client's session has ended: another client of the same name may have done it. */
    private void tellKilled(GnbdSession session) {
        tell(
                FaultLog.Kind.REFUSED,
                "ends the session of node " + Printable.of(session.node()) + " with '" + session.export() + "' from "
                        + session.peer() + " (KILL_GSERV)");
    }

    /** Returns a node's name as lists can hold it: a field without a NUL is cut off before its last byte. */
    private static String node(GnbdControl request) {
        String node = request.node();
        return node.length() < Gnbd.NODE_BYTES ? node : node.substring(0, Gnbd.NODE_BYTES - 1);
    }

    private ByteBuf status(int errno) {
        return ctx().alloc().directBuffer(Integer.BYTES).writeInt(errno);
    }

    private ByteBuf list(int sizeBytes) {
        return ctx().alloc()
                .directBuffer(2 * Integer.BYTES + sizeBytes)
                .writeInt(0)
                .writeInt(sizeBytes);
    }

    private void replyWhen(CompletableFuture<Integer> done) {
        stopTimeout(); // it is the disk that is waited for now
        if (done.isDone()) {
            closeAfter(status(done.join()));
            return;
        }
        GnbdSessions sessions = tap.sessions();
        if (!sessions.beginWaiting()) {
            tell(
                    FaultLog.Kind.REFUSED,
                    "closed, " + GnbdSessions.MAX_WAITING
                            + " others wait already until requests of ended sessions are answered");
            ctx().close();
            return;
        }
        done.whenComplete((errno, never) -> sessions.endWaiting())
                .thenAcceptAsync(
                        errno -> closeAfter(status(errno)), ctx().channel().eventLoop());
    }

    private void closeAfter(ByteBuf last) {
        ctx().writeAndFlush(last).addListener(ChannelFutureListener.CLOSE);
    }

    // ---- login

    private void login(GnbdControl request) {
        if (request.version() != Gnbd.VERSION) {
            refuse(request, Gnbd.EINVAL, "version " + request.version() + ", the server has " + Gnbd.VERSION);
            return;
        }
        GnbdSession session =
                tap.sessions().admit(node(request), request.timestamp(), request.device(), ctx().channel());
        if (session == null) {
            refuse(request, Gnbd.EPERM, "the node is fenced");
            return;
        }
        Disk disk = tap.exports().find(request.device());
        if (disk == null || tap.isStopping()) {
            // Clients try again after this error, and give up after others.
            refuse(request, Gnbd.ENODEV, disk == null ? "no such export" : "the server is going down");
            return;
        }
        EventLoop loop = disk.loopFor(ctx().channel().eventLoop());
        if (loop == ctx().channel().eventLoop()) {
            connect(request, session, disk);
        } else {
            ChannelMove.to(loop, ctx().channel(), () -> arrive(request, session, disk), this::failedToMove);
        }
    }

    private void arrive(GnbdControl request, GnbdSession session, Disk disk) {
        if (ctx().channel().isOpen()) {
            connect(request, session, disk);
            ctx().channel().config().setAutoRead(true);
        }
    }

    private void refuse(GnbdControl request, int errno, String reason) {
        tell(
                FaultLog.Kind.REFUSED,
                "node " + Printable.of(request.node()) + ": login to '" + Printable.of(request.device()) + "' refused: "
                        + reason);
        ByteBuf reply = ctx().alloc().directBuffer(GnbdLoginReply.BYTES);
        GnbdLoginReply.refusal(errno).append(reply);
        closeAfter(reply);
    }

    private void connect(GnbdControl request, GnbdSession session, Disk disk) {
        if (!session.begin()) {
            ctx().close(); // a KILL_GSERV or FENCE was faster
            return;
        }
        Session accepted;
        try {
            accepted = disk.connect(GnbdTapFactory.NAME, Printable.of(request.node()) + " " + peer);
        } catch (RefusedException e) {
            session.settle();
            int errno = disk.state() == Disk.State.SERVING ? Gnbd.EPERM : Gnbd.ENODEV;
            refuse(request, errno, String.valueOf(e.getMessage()));
            return;
        }
        stopTimeout();
        Channel channel = ctx().channel();
        Geometry geometry = disk.geometry();
        ByteBuf reply = ctx().alloc().directBuffer(GnbdLoginReply.BYTES);
        new GnbdLoginReply(GnbdTransmissionHandler.sectors(geometry), 0, 0).append(reply);
        ctx().writeAndFlush(reply, ctx().voidPromise());
        GnbdTransmissionHandler transmission = new GnbdTransmissionHandler(
                geometry,
                tap.settings(),
                session,
                tap.server().memory(channel.eventLoop()),
                tap::isStopping,
                "gnbd " + peer + " [" + request.device() + "]",
                tap.server().faults());
        ChainHandler chain = new ChainHandler(accepted);
        channel.pipeline().addLast("transmission", transmission).addLast("chain", chain);
        transmission.start(chain.stream(), reader, tap.server().largeRequests());
        channel.pipeline().remove(this);
    }
}

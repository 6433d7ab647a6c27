package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.ChainHandler;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.Session;
import io.blocktap.pipeline.codec.nbd.Nbd;
import io.blocktap.pipeline.codec.nbd.NbdExport;
import io.blocktap.pipeline.codec.nbd.NbdOption;
import io.blocktap.pipeline.codec.nbd.NbdOptionDecoder;
import io.blocktap.pipeline.codec.nbd.NbdOptionReply;
import io.blocktap.pipeline.codec.nbd.NbdProtocolException;
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
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Haggles with one client, and then makes room for the transmission.
 *
 * <p>A disk that is pinned to an event loop gets its connections there: when the client asks for such a disk, the channel leaves its
 * loop and registers with the disk's; what was received is kept meanwhile.
 *
 * <p>Threads: the channel's event loop.
 */
final class NbdHandshakeHandler extends OpeningHandler {
    private final NbdTap tap;
    private final SocketReader reader;
    private final String peer;
    private final NbdOptionDecoder decoder = new NbdOptionDecoder();
    private @Nullable ByteBuf received;
    private boolean moving;
    private String lastRefusal = "";
    private boolean ended;

    NbdHandshakeHandler(NbdTap tap, SocketReader reader, String peer) {
        super(
                tap.server(),
                "nbd " + peer,
                tap.limits().handshakeTime(),
                "it did not choose a disk within %d ms (handshake-timeout)");
        this.tap = tap;
        this.reader = reader;
        this.peer = peer;
    }

    // ---- life

    @Override
    public void channelActive(ChannelHandlerContext unused) {
        ByteBuf greeting = ctx().alloc().directBuffer();
        NbdOptionReply.greeting(greeting);
        ctx().writeAndFlush(greeting, ctx().voidPromise());
        super.channelActive(unused);
    }

    @Override
    protected void goAway() {
        closeAfter(ctx().alloc().directBuffer());
    }

    @Override
    protected void drop() {
        ended = true;
        if (received != null) {
            received.release();
            received = null;
        }
    }

    private void closeAfter(ByteBuf last) {
        end();
        ctx().writeAndFlush(last).addListener(ChannelFutureListener.CLOSE);
    }

    // ---- options

    @Override
    public void channelRead(ChannelHandlerContext unused, Object message) {
        ByteBuf bytes = (ByteBuf) message;
        if (ended) {
            bytes.release();
        } else if (received == null) {
            received = bytes;
        } else {
            try {
                received.writeBytes(bytes);
            } finally {
                bytes.release();
            }
        }
        if (!moving) {
            haggle();
        }
    }

    private void haggle() {
        try {
            NbdOption option;
            while (!ended && !moving && received != null && (option = decoder.next(received)) != null) {
                answer(option);
            }
            if (received != null && !received.isReadable()) {
                received.release();
                received = null;
            } else if (received != null) {
                received.discardReadBytes();
            }
        } catch (NbdProtocolException e) {
            tell(FaultLog.Kind.PROTOCOL, e.getMessage() + "; the connection is closed");
            end();
            ctx().close();
        }
    }

    private void answer(NbdOption option) {
        if (option.request() instanceof NbdOption.Export wanted) {
            onExport(option.number(), wanted);
            return;
        }
        ByteBuf reply = ctx().alloc().directBuffer();
        if (option.request() instanceof NbdOption.Wrong wrong) {
            NbdOptionReply.error(reply, option.number(), wrong.replyType(), wrong.message());
        } else if (option.request() instanceof NbdOption.Abort) {
            NbdOptionReply.ack(reply, option.number());
            closeAfter(reply);
            return;
        } else if (tap.isStopping()) {
            NbdOptionReply.error(reply, option.number(), Nbd.REP_ERR_SHUTDOWN, "the server is going down");
        } else {
            for (Disk disk : tap.disks().all()) {
                NbdOptionReply.server(reply, option.number(), disk.name(), described(disk));
            }
            NbdOptionReply.ack(reply, option.number());
        }
        ctx().writeAndFlush(reply, ctx().voidPromise());
    }

    /** The stages' names only: paths and secrets in their options are no client's business. */
    private static String described(Disk disk) {
        return String.join(" -> ", disk.stageNames());
    }

    private static String noDisk(String name) {
        return name.isEmpty()
                ? "there is no default disk; name one of the exports (nbdinfo --list tells them)"
                : "no disk '" + Printable.of(name) + "'";
    }

    private void onExport(int option, NbdOption.Export wanted) {
        if (tap.isStopping()) {
            refuse(option, Nbd.REP_ERR_SHUTDOWN, "the server is going down");
            return;
        }
        Optional<Disk> found = tap.disks().find(wanted.exportName());
        if (found.isEmpty()) {
            refuse(option, Nbd.REP_ERR_UNKNOWN, noDisk(wanted.exportName()));
            return;
        }
        Disk disk = found.get();
        if (option == Nbd.OPT_INFO) {
            ByteBuf reply = ctx().alloc().directBuffer();
            NbdOptionReply.infos(reply, option, describe(disk), wanted);
            NbdOptionReply.ack(reply, option);
            ctx().writeAndFlush(reply, ctx().voidPromise());
            return;
        }
        EventLoop loop = disk.loopFor(ctx().channel().eventLoop());
        if (loop == ctx().channel().eventLoop()) {
            connect(option, wanted, disk);
        } else {
            moveTo(loop, () -> connect(option, wanted, disk));
        }
    }

    private static NbdExport describe(Disk disk) {
        return NbdExport.of(disk.name(), described(disk), disk.geometry());
    }

    private void refuse(int option, int type, String reason) {
        if (!reason.equals(lastRefusal)) {
            lastRefusal = reason; // most clients ask with INFO, and then again with GO
            tell(FaultLog.Kind.REFUSED, "refused: " + reason);
        }
        if (option == Nbd.OPT_EXPORT_NAME) {
            // This option has no reply that could say why.
            end();
            ctx().close();
            return;
        }
        ByteBuf reply = ctx().alloc().directBuffer();
        NbdOptionReply.error(reply, option, type, reason);
        ctx().writeAndFlush(reply, ctx().voidPromise());
    }

    // ---- to another loop

    private void moveTo(EventLoop loop, Runnable then) {
        moving = true;
        Channel channel = ctx().channel();
        ChannelMove.to(loop, channel, () -> arrive(then), this::failedToMove);
    }

    private void arrive(Runnable then) {
        moving = false;
        if (ended) {
            return;
        }
        then.run();
        haggle();
        if (!ended) {
            ctx().channel().config().setAutoRead(true);
        }
    }

    // ---- to transmission

    private void connect(int option, NbdOption.Export wanted, Disk disk) {
        Session session;
        try {
            session = disk.connect(NbdTapFactory.NAME, peer);
        } catch (RefusedException e) {
            refuse(
                    option,
                    tap.isStopping() ? Nbd.REP_ERR_SHUTDOWN : Nbd.REP_ERR_POLICY,
                    String.valueOf(e.getMessage()));
            return;
        }
        NbdExport export = describe(disk);
        ByteBuf reply = ctx().alloc().directBuffer();
        if (option == Nbd.OPT_EXPORT_NAME) {
            NbdOptionReply.exportName(reply, export, decoder.isNoZeroes());
        } else {
            NbdOptionReply.infos(reply, option, export, wanted);
            NbdOptionReply.ack(reply, option);
        }
        ctx().writeAndFlush(reply, ctx().voidPromise());
        transmit(session, export);
    }

    private void transmit(Session session, NbdExport export) {
        ByteBuf rest = received;
        received = null;
        end();
        Channel channel = ctx().channel();
        ChainHandler chain = new ChainHandler(session);
        NbdTransmissionHandler transmission = new NbdTransmissionHandler(
                export,
                tap.limits(),
                tap.server().memory(channel.eventLoop()),
                tap::isStopping,
                "nbd " + peer + " [" + export.name() + "]",
                tap.server().faults());
        channel.pipeline().addLast("transmission", transmission).addLast("chain", chain);
        transmission.start(chain.stream(), reader, tap.server().largeRequests());
        if (rest != null && rest.isReadable()) {
            ctx().fireChannelRead(rest);
            ctx().fireChannelReadComplete();
        } else if (rest != null) {
            rest.release();
        }
        channel.pipeline().remove(this);
        channel.config().setAutoRead(true);
    }
}

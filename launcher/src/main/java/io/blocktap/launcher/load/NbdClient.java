package io.blocktap.launcher.load;

import io.blocktap.pipeline.codec.nbd.Nbd;
import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.buffer.UnpooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.nio.channels.ClosedChannelException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** Drives an NBD export over one connection with simple replies (proto.md, "Transmission phase"). */
final class NbdClient implements BlockClient {
    private static final int REQUEST_BYTES = 28;
    private static final int REPLY_BYTES = 16;
    private static final int BATCH_BYTES = 64 << 10;

    /** Slots live as long as the client; watching each access of theirs for leaks would take most of a test. */
    private static final UnpooledByteBufAllocator BUFFERS = new UnpooledByteBufAllocator(true, true);

    private final Channel channel;
    private final NbdHandshake.Export export;
    private final List<Slot> slots = new ArrayList<>();
    private @Nullable Listener listener;
    private @Nullable ByteBuf batch;

    private NbdClient(Channel channel, NbdHandshake.Export export, int depth, int requestBytes) {
        this.channel = channel;
        this.export = export;
        for (int i = 0; i < depth; i++) {
            slots.add(new Slot(i, BUFFERS.directBuffer(requestBytes, requestBytes)));
        }
    }

    /**
     * Connects and asks for the export.
     *
     * @param depth requests in flight
     * @param requestBytes data of the longest request
     */
    static CompletableFuture<BlockClient> connect(EventLoopGroup group, Target target, int depth, int requestBytes) {
        CompletableFuture<NbdHandshake.Export> agreed = new CompletableFuture<>();
        boolean unix = target.protocol() == Target.Protocol.NBD_UNIX;
        ChannelFuture connecting = new Bootstrap()
                .group(group)
                .channel(unix ? EpollDomainSocketChannel.class : EpollSocketChannel.class)
                .option(ChannelOption.ALLOCATOR, PooledByteBufAllocator.DEFAULT)
                .handler(new NbdHandshake(target.disk(), agreed))
                .connect(unix ? new DomainSocketAddress(target.place()) : tcp(target.place()));
        connecting.addListener((ChannelFuture connected) -> {
            if (!connected.isSuccess()) {
                agreed.completeExceptionally(new IOException(
                        "nobody listens on " + target.place() + ": " + why(connected.cause()), connected.cause()));
            }
        });
        // The handshake completes on the event loop, before it takes itself out of the pipeline.
        return agreed.thenApply(export -> {
            NbdClient client = new NbdClient(connecting.channel(), export, depth, requestBytes);
            connecting.channel().pipeline().addLast(client.new Replies());
            return client;
        });
    }

    private static String why(Throwable cause) {
        return cause instanceof FileNotFoundException ? "no such socket" : cause.toString();
    }

    private static SocketAddress tcp(String place) {
        int colon = place.lastIndexOf(':');
        String host = place.substring(0, colon).replaceAll("[\\[\\]]", "");
        return new InetSocketAddress(host, Integer.parseInt(place.substring(colon + 1)));
    }

    @Override
    public long sizeBytes() {
        return export.sizeBytes();
    }

    @Override
    public boolean isWritable() {
        return (export.flags() & Nbd.FLAG_READ_ONLY) == 0;
    }

    @Override
    public boolean hasFlush() {
        return (export.flags() & Nbd.FLAG_SEND_FLUSH) != 0;
    }

    @Override
    public List<Slot> slots() {
        return slots;
    }

    @Override
    public void listen(Listener newListener) {
        listener = newListener;
    }

    // ---- requests

    @Override
    public void issue(Slot slot) {
        int payload = switch (slot.op) {
            case WRITE -> slot.lengthBytes;
            case READ, FLUSH -> 0;
            default -> throw new IllegalArgumentException("not driven: " + slot);
        };
        ByteBuf out = room(REQUEST_BYTES + payload);
        out.writeInt(Nbd.REQUEST_MAGIC);
        out.writeShort(0);
        out.writeShort(
                switch (slot.op) {
                    case WRITE -> Nbd.CMD_WRITE;
                    case READ -> Nbd.CMD_READ;
                    default -> Nbd.CMD_FLUSH;
                });
        out.writeLong(slot.index);
        out.writeLong(slot.offsetBytes);
        out.writeInt(slot.lengthBytes);
        if (payload > 0) {
            out.writeBytes(slot.data, 0, payload);
        }
    }

    private ByteBuf room(int bytes) {
        ByteBuf current = batch;
        if (current != null && current.writableBytes() < bytes) {
            channel.write(current, channel.voidPromise());
            current = null;
        }
        if (current == null) {
            current = channel.alloc().directBuffer(Math.max(bytes, BATCH_BYTES));
            batch = current;
        }
        return current;
    }

    @Override
    public void publish() {
        ByteBuf current = batch;
        if (current != null) {
            batch = null;
            channel.writeAndFlush(current, channel.voidPromise());
        }
    }

    // ---- replies

    /** Takes replies apart; a piece that is not whole yet waits in {@code kept}. */
    private final class Replies extends ChannelInboundHandlerAdapter {
        private @Nullable ByteBuf kept;
        private @Nullable Slot filling;
        private int filled;

        @Override
        public void channelRead(ChannelHandlerContext ctx, Object message) throws IOException {
            ByteBuf in = (ByteBuf) message;
            try {
                takeAll(in);
                if (in.isReadable()) {
                    keep(ctx, in);
                }
            } finally {
                in.release();
            }
        }

        private void keep(ChannelHandlerContext ctx, ByteBuf in) {
            ByteBuf before = kept;
            if (before == null) {
                before = ctx.alloc().buffer(REPLY_BYTES);
                kept = before;
            }
            before.writeBytes(in);
        }

        private void takeAll(ByteBuf in) throws IOException {
            while (in.isReadable()) {
                Slot slot = filling;
                if (slot != null) {
                    int part = Math.min(in.readableBytes(), slot.lengthBytes - filled);
                    in.readBytes(slot.data.setIndex(0, filled), part);
                    filled += part;
                    if (filled == slot.lengthBytes) {
                        filling = null;
                        tell(slot, true);
                    }
                    continue;
                }
                ByteBuf before = kept;
                if (before != null) {
                    in.readBytes(before, Math.min(in.readableBytes(), REPLY_BYTES - before.readableBytes()));
                    if (before.readableBytes() == REPLY_BYTES) {
                        kept = null;
                        header(before);
                        before.release();
                    }
                } else if (in.readableBytes() >= REPLY_BYTES) {
                    header(in);
                } else {
                    return;
                }
            }
        }

        private void header(ByteBuf in) throws IOException {
            int magic = in.readInt();
            int error = in.readInt();
            long cookie = in.readLong();
            if (magic != Nbd.SIMPLE_REPLY_MAGIC || cookie < 0 || cookie >= slots.size()) {
                throw new IOException(
                        "not a simple reply: magic 0x" + Integer.toHexString(magic) + ", cookie " + cookie);
            }
            Slot slot = slots.get((int) cookie);
            if (error == 0 && slot.op == io.blocktap.pipeline.BlockOp.READ) {
                filling = slot;
                filled = 0;
            } else {
                tell(slot, error == 0);
            }
        }

        private void tell(Slot slot, boolean ok) {
            Listener told = listener;
            if (told != null) {
                told.ended(slot, ok);
            }
        }

        @Override
        public void channelReadComplete(ChannelHandlerContext ctx) {
            publish();
        }

        @Override
        public void channelInactive(ChannelHandlerContext ctx) {
            lost(new ClosedChannelException());
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            lost(cause);
            ctx.close();
        }

        private void lost(Throwable cause) {
            Listener told = listener;
            if (told != null) {
                told.lost(cause);
            }
        }

        @Override
        public void handlerRemoved(ChannelHandlerContext ctx) {
            if (kept != null) {
                kept.release();
                kept = null;
            }
            if (batch != null) {
                batch.release();
                batch = null;
            }
            slots.forEach(slot -> slot.data.release());
        }
    }

    @Override
    public void close() {
        channel.eventLoop().execute(() -> {
            listener = null;
            ByteBuf disconnect = room(REQUEST_BYTES);
            disconnect
                    .writeInt(Nbd.REQUEST_MAGIC)
                    .writeShort(0)
                    .writeShort(Nbd.CMD_DISC)
                    .writeZero(20);
            publish();
            channel.close();
        });
        channel.closeFuture().awaitUninterruptibly();
    }
}

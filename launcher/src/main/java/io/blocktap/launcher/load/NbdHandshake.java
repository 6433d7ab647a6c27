package io.blocktap.launcher.load;

import io.blocktap.pipeline.codec.nbd.Nbd;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageDecoder;
import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** The client's side of the fixed newstyle handshake with the option GO (proto.md, "Fixed newstyle negotiation"). */
final class NbdHandshake extends ByteToMessageDecoder {
    private static final int GREETING_BYTES = 18;
    private static final int OPTION_REPLY_BYTES = 20;
    private static final int MOST_REPLY_BYTES = 64 << 10;

    /**
     * What the server says of its export.
     *
     * @param sizeBytes its size
     * @param flags transmission flags
     */
    record Export(long sizeBytes, int flags) {}

    private final String name;
    private final CompletableFuture<Export> agreed;
    private boolean greeted;
    private long sizeBytes = -1;
    private int flags;

    NbdHandshake(String name, CompletableFuture<Export> agreed) {
        this.name = name;
        this.agreed = agreed;
    }

    @Override
    protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) throws IOException {
        if (!greeted) {
            if (in.readableBytes() >= GREETING_BYTES) {
                greet(ctx, in);
            }
        } else if (in.readableBytes() >= OPTION_REPLY_BYTES) {
            int length = in.getInt(in.readerIndex() + OPTION_REPLY_BYTES - 4);
            if (length < 0 || length > MOST_REPLY_BYTES) {
                throw new IOException("an option reply of " + Integer.toUnsignedString(length) + " bytes");
            }
            if (in.readableBytes() >= OPTION_REPLY_BYTES + length) {
                reply(ctx, in);
            }
        }
    }

    private void greet(ChannelHandlerContext ctx, ByteBuf in) throws IOException {
        if (in.readLong() != Nbd.NBDMAGIC || in.readLong() != Nbd.IHAVEOPT) {
            throw new IOException("the server does not speak NBD of the newstyle");
        }
        int offered = in.readUnsignedShort();
        if ((offered & Nbd.FLAG_FIXED_NEWSTYLE) == 0) {
            throw new IOException("the server does not speak fixed newstyle NBD");
        }
        greeted = true;
        byte[] nameBytes = name.getBytes(StandardCharsets.UTF_8);
        ByteBuf answer = ctx.alloc().buffer();
        answer.writeInt(offered & (Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES));
        answer.writeLong(Nbd.IHAVEOPT).writeInt(Nbd.OPT_GO).writeInt(nameBytes.length + 6);
        answer.writeInt(nameBytes.length).writeBytes(nameBytes).writeShort(0);
        ctx.writeAndFlush(answer);
    }

    private void reply(ChannelHandlerContext ctx, ByteBuf in) throws IOException {
        if (in.readLong() != Nbd.OPTION_REPLY_MAGIC || in.readInt() != Nbd.OPT_GO) {
            throw new IOException("not a reply to the option GO");
        }
        int type = in.readInt();
        ByteBuf data = in.readSlice(in.readInt());
        if (type == Nbd.REP_INFO) {
            if (data.readableBytes() >= 12 && data.readUnsignedShort() == Nbd.INFO_EXPORT) {
                sizeBytes = data.readLong();
                flags = data.readUnsignedShort();
            }
        } else if (type == Nbd.REP_ACK && sizeBytes >= 0) {
            agreed.complete(new Export(sizeBytes, flags));
            ctx.pipeline().remove(this);
        } else {
            String why = data.toString(StandardCharsets.UTF_8);
            throw new IOException("the server refuses export '" + name + "'"
                    + (why.isEmpty() ? ", reply type 0x" + Integer.toHexString(type) : ": " + why));
        }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        agreed.completeExceptionally(cause.getCause() instanceof IOException known ? known : cause);
        ctx.close();
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) throws Exception {
        agreed.completeExceptionally(new ClosedChannelException());
        super.channelInactive(ctx);
    }
}

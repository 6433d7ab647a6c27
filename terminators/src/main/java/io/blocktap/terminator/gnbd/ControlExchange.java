package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.codec.gnbd.GnbdExport;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import java.util.concurrent.CompletableFuture;

/**
 * One exchange of the control side, on a connection of its own. The answer is read to its end before the connection is closed: the original server dies of a client that
 * closes before.
 *
 * <p>Threads: the home loop.
 */
final class ControlExchange extends ChannelInboundHandlerAdapter {
    private static final int MAX_LIST_BYTES = GnbdExport.MAX_EXPORTS * GnbdExport.BYTES;

    private final GnbdControl request;
    private final ByteBuf received = Unpooled.buffer();
    private final CompletableFuture<ByteBuf> answer = new CompletableFuture<>();

    ControlExchange(GnbdControl request) {
        this.request = request;
    }

    /** Returns what completes with all bytes of the answer, or with the reason why there is none. */
    CompletableFuture<ByteBuf> answer() {
        return answer;
    }

    @Override
    public void channelActive(ChannelHandlerContext ctx) {
        ByteBuf bytes = ctx.alloc().directBuffer(GnbdControl.MAX_BYTES);
        request.append(bytes);
        ctx.writeAndFlush(bytes, ctx.voidPromise());
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        ByteBuf bytes = (ByteBuf) message;
        try {
            if (!answer.isDone()) {
                received.writeBytes(bytes);
            }
        } finally {
            bytes.release();
        }
        int needed = neededBytes();
        if (needed < 0) {
            fail(ctx, new ServerException("its list of exports is too long; is it a GNBD server?", true));
        } else if (received.readableBytes() >= needed) {
            answer.complete(received);
            ctx.close();
        }
    }

    /** Returns how many bytes the answer has, as far as that can be told from those that are there; -1 if it is none. */
    private int neededBytes() {
        final int word = Integer.BYTES;
        if (request.command() != Gnbd.NAMES
                || received.readableBytes() >= word && received.getInt(received.readerIndex()) != 0) {
            return word;
        }
        if (received.readableBytes() < 2 * word) {
            return 2 * word;
        }
        int listBytes = received.getInt(received.readerIndex() + word);
        return listBytes < 0 || listBytes > MAX_LIST_BYTES ? -1 : 2 * word + listBytes;
    }

    private void fail(ChannelHandlerContext ctx, ServerException reason) {
        answer.completeExceptionally(reason);
        ctx.close();
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        fail(ctx, new ServerException("the server has closed the connection before its answer was complete", false));
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        fail(ctx, new ServerException(Attempt.why(cause), false));
    }
}

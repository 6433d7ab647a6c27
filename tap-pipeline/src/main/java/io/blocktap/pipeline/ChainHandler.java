package io.blocktap.pipeline;

import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;

/**
 * The tail of a tap channel's Netty pipeline: sends decoded requests down the disk's chain, and writes their responses back
 * through the pipeline to the tap's codec.
 *
 * <p>Inbound it takes {@link BlockRequest}s, made by the codec from {@link #stream()}; outbound it writes {@link BlockResponse}s with the void
 * promise, and flushes once a batch. Handlers between the codec and this one see both.
 *
 * <p>The channel may close with requests in flight: they are settled all the same, their responses dropped, and the session ends when the
 * last one was answered. Threads: the channel's event loop.
 */
public final class ChainHandler extends ChannelInboundHandlerAdapter implements RequestStream.Sink {
    private final Session session;

    @SuppressWarnings("NullAway.Init") // by handlerAdded
    private RequestStream stream;

    @SuppressWarnings("NullAway.Init") // by handlerAdded
    private ChannelHandlerContext context;

    private boolean connected = true;

    /** Makes the handler for one channel of a session that the disk has accepted. */
    public ChainHandler(Session session) {
        this.session = session;
    }

    /** Returns the stream that requests are made from; valid as soon as the handler was added. */
    public RequestStream stream() {
        return stream;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        context = ctx;
        stream = session.disk().openStream(session, ctx.channel().eventLoop(), this);
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        if (message instanceof BlockRequest request) {
            stream.beginTurn();
            stream.submit(request);
        } else {
            ctx.fireChannelRead(message);
        }
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        stream.endTurn();
        ctx.flush();
        ctx.fireChannelReadComplete();
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        connected = false;
        stream.endTurn();
        stream.whenIdle(() -> session.disk().closeStream(stream));
        ctx.fireChannelInactive();
    }

    @Override
    public void answer(BlockResponse response) {
        if (connected) {
            context.write(response, context.voidPromise());
        }
    }

    @Override
    public void flush() {
        if (connected) {
            context.flush();
        }
    }
}

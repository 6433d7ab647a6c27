package io.blocktap.pipeline.socket;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.util.concurrent.Future;
import java.io.IOException;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The first handler of a connection: what is said before the {@link TransmissionHandler} begins. It has a time for it, and its failures are told once.
 *
 * <p>Threads: the channel's event loop.
 */
public abstract class OpeningHandler extends ChannelInboundHandlerAdapter {
    private final SocketServer server;
    private final String label;
    private final Duration time;
    private final String tooLate;
    private ChannelHandlerContext ctx;
    private @Nullable Future<?> timeout;

    /**
     * Makes the handler.
     *
     * @param label tap and peer, for logs
     * @param time how long the client may take
     * @param tooLate what it has not done then, for the log; the number of milliseconds stands for {@code %d}
     */
    @SuppressWarnings("NullAway.Init")
    protected OpeningHandler(SocketServer server, String label, Duration time, String tooLate) {
        this.server = server;
        this.label = label;
        this.time = time;
        this.tooLate = tooLate;
    }

    /** Gives back what the handler has received, and takes no more. Called once or more at the end. */
    protected abstract void drop();

    /** Sends a last message, or nothing, and closes the connection, because the server goes down. */
    protected abstract void goAway();

    /** Returns the handler's context. */
    protected final ChannelHandlerContext ctx() {
        return ctx;
    }

    @Override
    public void handlerAdded(ChannelHandlerContext newCtx) {
        ctx = newCtx;
    }

    @Override
    public void channelActive(ChannelHandlerContext unused) {
        Channel channel = ctx.channel();
        long millis = time.toMillis();
        timeout = channel.eventLoop()
                .schedule(
                        () -> {
                            tell(FaultLog.Kind.SILENT, "closed, " + tooLate.formatted(millis));
                            channel.close();
                        },
                        millis,
                        TimeUnit.MILLISECONDS);
        ctx.fireChannelActive();
    }

    /** The client has done what it has a time for. */
    protected final void stopTimeout() {
        if (timeout != null) {
            timeout.cancel(false);
        }
    }

    /** Takes no more of the client. */
    protected final void end() {
        stopTimeout();
        drop();
    }

    /** Tells of something that the client has done wrong. */
    protected final void tell(FaultLog.Kind kind, String what) {
        server.faults().tell(kind, label, what);
    }

    @Override
    public void channelInactive(ChannelHandlerContext unused) {
        end();
        ctx.fireChannelInactive();
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext unused, Object event) {
        if (event == TransmissionHandler.CLOSE) {
            goAway();
        } else {
            ctx.fireUserEventTriggered(event);
        }
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext unused, Throwable cause) {
        if (cause instanceof IOException) {
            server.faults().log().debug("{}: the connection is gone: {}", label, cause.getMessage());
        } else {
            server.faults().log().error("{}: closed after an unexpected error", label, cause);
        }
        end();
        ctx.close();
    }

    /** Closes a connection that could not change its event loop. */
    protected final void failedToMove(Throwable cause) {
        server.faults().log().warn("{}: closed, it could not change its event loop", label, cause);
        ctx.channel().close();
    }
}

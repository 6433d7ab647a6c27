package io.blocktap.pipeline.socket;

import io.blocktap.transport.LogLimiter;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;

/**
 * Says that clients can not be accepted, once a minute. Behind Netty's acceptor, which stops accepting for a second when it fails: for want of descriptors, most likely.
 */
public final class AcceptFailures extends ChannelInboundHandlerAdapter {
    private final String label;
    private final Logger log;
    private final LogLimiter limiter = new LogLimiter(TimeUnit.MINUTES.toNanos(1));

    /**
     * Makes the handler of one listening socket.
     *
     * @param label the tap and where it listens
     */
    public AcceptFailures(String label, Logger log) {
        this.label = label;
        this.log = log;
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        long times = limiter.count();
        if (times > 0) {
            log.warn(
                    "{}: no client can be accepted: {} ({} times); tried every second; does the process need more"
                            + " descriptors (ulimit -n)?",
                    label,
                    cause.getMessage(),
                    times);
        }
    }
}

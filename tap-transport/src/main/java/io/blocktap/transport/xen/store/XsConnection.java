package io.blocktap.transport.xen.store;

import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.NativeException;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.handler.codec.DecoderException;
import io.netty.util.ReferenceCountUtil;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One connection: sends requests, no more than a number of them at a time, and gives each reply to the request that it answers.
 *
 * <p>Replies are matched by req_id, since they may come in any order ({@code docs/misc/xenstore.txt}: "replies ... may be in any order"). One without a number,
 * which Linux makes up for WATCH and UNWATCH on some versions, is for the oldest request of that type. Requests leave in the order they came in.
 *
 * <p>Threads: the channel's event loop.
 */
final class XsConnection extends ChannelInboundHandlerAdapter {
    /** Who is told what comes unasked. */
    interface Owner {
        /** A watch has fired. */
        void watchFired(String path, String token);

        /** All that had arrived was read. */
        void readComplete();
    }

    private final XenStoreEndpoint endpoint;
    private final XenStoreConfig config;
    private final Owner owner;
    private final int maxOutstanding;
    private final Map<Integer, XsRequest> outstanding = new LinkedHashMap<>(); // oldest first
    private final ArrayDeque<XsRequest> queue = new ArrayDeque<>();
    private final Runnable flushTask = this::flushNow;
    private @Nullable ChannelHandlerContext context;
    private @Nullable IOException cause;
    private int lastReqId;
    private boolean reading;
    private boolean flushScheduled;

    XsConnection(XenStoreEndpoint endpoint, XenStoreConfig config, Owner owner) {
        this.endpoint = endpoint;
        this.config = config;
        this.owner = owner;
        this.maxOutstanding = Math.min(config.maxOutstanding(), endpoint.maxOutstanding());
    }

    /** Returns what puts the codec and this connection into a channel. */
    ChannelInitializer<Channel> initializer() {
        return new ChannelInitializer<>() {
            @Override
            protected void initChannel(Channel channel) {
                channel.pipeline().addLast(new XsDecoder(), XsEncoder.INSTANCE, XsConnection.this);
            }
        };
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        context = ctx;
    }

    // ---- requests

    /** Sends a request, now or when there is room; fails it if too many wait. */
    void submit(XsRequest request) {
        if (queue.size() >= config.maxQueued()) {
            request.reply.completeExceptionally(
                    new TapException("xenstore at " + endpoint + ": " + request + " refused, " + outstanding.size()
                            + " requests are outstanding and " + queue.size() + " wait (maxQueued)"));
            return;
        }
        submitAlways(request);
    }

    /** As {@link #submit}, beyond the limit: for what gives something back (a watch, a transaction), or sets it anew. */
    void submitAlways(XsRequest request) {
        if (cause != null) {
            request.reply.completeExceptionally(ended(request, cause));
            return;
        }
        queue.add(request);
        pump();
    }

    private void pump() {
        ChannelHandlerContext ctx = context;
        if (ctx == null || cause != null) {
            return;
        }
        while (outstanding.size() < maxOutstanding && !queue.isEmpty()) {
            send(ctx, queue.remove());
        }
    }

    private void send(ChannelHandlerContext ctx, XsRequest request) {
        int reqId = nextReqId();
        outstanding.put(reqId, request);
        ctx.write(new XsMessage(request.type, reqId, request.txId, request.payload))
                .addListener(future -> {
                    if (!future.isSuccess()) {
                        writeFailed(reqId, future.cause());
                    }
                });
        if (!reading && !flushScheduled) {
            // Later in this turn: then all that was asked in it leaves with one system call.
            flushScheduled = true;
            ctx.executor().execute(flushTask);
        }
    }

    private void flushNow() {
        flushScheduled = false;
        ChannelHandlerContext ctx = context;
        if (ctx != null) {
            ctx.flush();
        }
    }

    /** Not 0: that is what replies carry that were made up without looking at the request. */
    private int nextReqId() {
        do {
            lastReqId++;
        } while (lastReqId == 0 || outstanding.containsKey(lastReqId));
        return lastReqId;
    }

    private void writeFailed(int reqId, Throwable failure) {
        if (!(failure instanceof NativeException refused)) {
            end(failure); // no effect if the channel was closed: the write failed because of that
            return;
        }
        XsRequest request = outstanding.remove(reqId);
        if (request != null) {
            String description = Errno.describe(refused.errno());
            int space = description.indexOf(" (");
            request.refuse(
                    space < 0 ? description : description.substring(0, space),
                    ", told by " + endpoint + " when it was written");
            pump();
        }
    }

    // ---- replies

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object read) {
        if (!(read instanceof XsMessage message) || cause != null) {
            ReferenceCountUtil.release(read);
            return;
        }
        reading = true;
        if (message.type() == XsWire.XS_WATCH_EVENT) {
            List<String> strings = message.strings();
            if (strings.size() < 2) {
                end(new TapException("a watch event without path and token"));
            } else {
                owner.watchFired(strings.get(0), strings.get(1));
            }
            return;
        }
        XsRequest request = takeRequest(message);
        if (request == null) {
            end(new TapException("a reply to no request: " + message));
        } else if (message.type() == XsWire.XS_ERROR) {
            request.refuse(message.text(), "");
        } else {
            request.reply.complete(message);
        }
        pump();
    }

    private @Nullable XsRequest takeRequest(XsMessage message) {
        XsRequest request = outstanding.get(message.reqId());
        if (request != null) {
            if (message.type() != request.type && message.type() != XsWire.XS_ERROR) {
                return null;
            }
            return outstanding.remove(message.reqId());
        }
        return endpoint.matchesByOrder() && message.reqId() == 0 ? takeOldest(message.type()) : null;
    }

    /** Only the kernel leaves the number out, and only for what it answers itself. */
    private @Nullable XsRequest takeOldest(int type) {
        for (Iterator<XsRequest> each = outstanding.values().iterator(); each.hasNext(); ) {
            XsRequest request = each.next();
            if (request.type == type || type == XsWire.XS_ERROR) {
                each.remove();
                return request;
            }
        }
        return null;
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        reading = false;
        owner.readComplete();
        ctx.flush();
    }

    // ---- the end

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable failure) {
        end(failure);
    }

    /** Ends the connection; the first reason is the one that is told. */
    void end(Throwable reason) {
        if (cause == null) {
            Throwable told =
                    reason instanceof DecoderException && reason.getCause() != null ? reason.getCause() : reason;
            cause = told instanceof IOException io ? io : new TapException(told.toString(), told);
        }
        ChannelHandlerContext ctx = context;
        if (ctx != null) {
            ctx.close();
        }
    }

    /** Notes that the channel is closed. Returns why. */
    IOException closed() {
        IOException told = cause;
        if (told == null) {
            told = new TapException("the other side has closed the connection");
            cause = told;
        }
        return told;
    }

    /** Fails all that is outstanding or waits, after {@link #closed}. */
    void failAll() {
        IOException why = closed();
        List<XsRequest> all = new ArrayList<>(outstanding.values());
        all.addAll(queue);
        outstanding.clear();
        queue.clear();
        all.forEach(each -> each.reply.completeExceptionally(ended(each, why)));
    }

    private TapException ended(XsRequest request, IOException why) {
        return new TapException(
                "xenstore at " + endpoint + ": " + request
                        + ": the connection has ended, whether it was done is not known: " + why.getMessage(),
                why);
    }
}

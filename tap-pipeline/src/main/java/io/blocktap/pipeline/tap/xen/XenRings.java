package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.ChainHandler;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.Session;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.codec.blkif.BlkifCodec;
import io.blocktap.pipeline.codec.blkif.BlkifFeatures;
import io.blocktap.transport.LogLimiter;
import io.blocktap.transport.Printable;
import io.blocktap.transport.xen.XenAddress;
import io.blocktap.transport.xen.XenRing;
import io.blocktap.transport.xen.XenTapChannel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoop;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;

/**
 * The rings of one device: one session of its disk, a channel a ring, spread over the event loops.
 *
 * <p>Threads: the tap's control loop; each ring has an event loop of its own.
 */
final class XenRings {
    private final XenTap tap;
    private final int domid;
    private final int device;
    private final List<Ring> served = new ArrayList<>();
    private final LogLimiter closings = new LogLimiter(TimeUnit.SECONDS.toNanos(1));
    private List<XenRing> published = List.of();

    /** A ring that is served. */
    private record Ring(XenTapChannel channel, ChainHandler chain) {}

    XenRings(XenTap tap, int domid, int device) {
        this.tap = tap;
        this.domid = domid;
        this.device = device;
    }

    boolean areServed() {
        return !served.isEmpty();
    }

    /** Returns what the frontend had published of the rings that are served. */
    List<XenRing> published() {
        return published;
    }

    /** Returns the streams of the rings that are served. */
    List<RequestStream> streams() {
        return served.stream().map(ring -> ring.chain().stream()).toList();
    }

    /** Serves all rings, or none. None may be served yet. */
    CompletableFuture<Void> serve(Disk wanted, List<XenRing> newRings) {
        published = List.copyOf(newRings);
        EventLoop first = wanted.loopFor(tap.nextLoop());
        CompletableFuture<Session> accepted = CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return wanted.connect(XenTapFactory.NAME, "domain " + domid + " device " + device);
                    } catch (RefusedException e) {
                        throw new CompletionException(
                                new StageException("the disk refuses: " + Printable.of(e.reason()), e));
                    }
                },
                first);
        return accepted.thenComposeAsync(
                session -> {
                    List<CompletableFuture<Ring>> opened = new ArrayList<>();
                    for (int i = 0; i < newRings.size(); i++) {
                        EventLoop loop = i == 0 ? first : wanted.loopFor(tap.nextLoop());
                        opened.add(openRing(session, loop, i, newRings.get(i)));
                    }
                    return CompletableFuture.allOf(opened.toArray(CompletableFuture[]::new))
                            .handleAsync(
                                    (ok, failure) -> {
                                        opened.stream()
                                                .filter(ring -> !ring.isCompletedExceptionally())
                                                .forEach(ring -> served.add(ring.join()));
                                        if (failure == null && tap.isStopping()) {
                                            return closeAfter(new StageException("the server is going down"));
                                        }
                                        if (failure == null) {
                                            return CompletableFuture.<Void>completedFuture(null);
                                        }
                                        if (served.isEmpty()) {
                                            first.execute(() -> wanted.abandon(session));
                                        }
                                        return closeAfter(failure);
                                    },
                                    tap.control())
                            .thenCompose(done -> done);
                },
                tap.control());
    }

    private CompletableFuture<Void> closeAfter(Throwable failure) {
        return drain().thenCompose(ok -> CompletableFuture.failedFuture(XenTap.causeOf(failure)));
    }

    private CompletableFuture<Ring> openRing(Session session, EventLoop loop, int queue, XenRing ring) {
        CompletableFuture<Ring> opened = new CompletableFuture<>();
        loop.execute(() -> {
            XenTapChannel channel = null;
            try {
                channel = XenTapChannel.map(
                        new XenAddress(domid, device, queue), ring, tap.grants(), tap.events(loop), tap.tables());
                if (channel.isTakenOver()) {
                    XenTap.LOG.info(
                            "{}: taken over from a server that was killed, {} requests in flight are done again",
                            channel,
                            channel.redoCount());
                }
                XenTapChannel mapped = channel;
                ChainHandler chain = new ChainHandler(session);
                channel.pipeline()
                        .addLast(
                                "codec",
                                new BlkifCodec(channel, chain, new BlkifFeatures(BlkifFeatures.MAX_INDIRECT_SEGMENTS)))
                        .addLast("chain", chain)
                        .addLast("errors", new Errors());
                loop.register(channel).addListener(registered -> {
                    if (registered.isSuccess()) {
                        opened.complete(new Ring(mapped, chain));
                    } else {
                        opened.completeExceptionally(registered.cause());
                    }
                });
            } catch (Throwable e) {
                // An Error, too, such as no memory: who waits for the ring would wait for ever, and with it the device.
                if (channel != null && !channel.isRegistered()) {
                    channel.unsafe().closeForcibly();
                }
                opened.completeExceptionally(e);
            }
        });
        return opened;
    }

    /** Ends a ring whose frontend broke the protocol. */
    private static final class Errors extends ChannelInboundHandlerAdapter {
        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            XenTap.LOG.warn("{}: the ring is closed: {}", ctx.channel(), cause.toString());
            ctx.close();
        }
    }

    /** Takes no more requests. */
    CompletableFuture<Void> stopTaking() {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        for (Ring ring : served) {
            all.add(CompletableFuture.runAsync(
                    ring.channel()::stopIntake, ring.channel().eventLoop()));
        }
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }

    /** Takes no more requests, answers those in flight, and lets go of the rings. */
    CompletableFuture<Void> drain() {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        for (Ring ring : served) {
            CompletableFuture<Void> idle = new CompletableFuture<>();
            ring.channel().eventLoop().execute(() -> {
                ring.channel().stopIntake();
                ring.chain().stream().whenIdle(() -> idle.complete(null));
            });
            all.add(idle);
        }
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new))
                .thenComposeAsync(ok -> close(), tap.control());
    }

    /** Lets go of the rings; what is answered later is dropped. */
    CompletableFuture<Void> close() {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        for (Ring ring : served) {
            CompletableFuture<Void> closed = new CompletableFuture<>();
            ring.channel().flush();
            ring.channel().close().addListener(done -> closed.complete(null));
            all.add(closed);
        }
        served.clear();
        published = List.of();
        if (all.isEmpty()) {
            return CompletableFuture.completedFuture(null);
        }
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new))
                .thenRunAsync(
                        () -> {
                            if (closings.count() > 0) {
                                XenTap.LOG.info("xen domain {} device {}: its rings are closed", domid, device);
                            }
                        },
                        tap.control());
    }
}

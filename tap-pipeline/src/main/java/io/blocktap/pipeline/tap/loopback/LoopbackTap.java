package io.blocktap.pipeline.tap.loopback;

import io.blocktap.pipeline.ChainHandler;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.Session;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.codec.blkif.BlkifCodec;
import io.blocktap.pipeline.codec.blkif.BlkifFeatures;
import io.blocktap.pipeline.tap.SteeredLoopGroup;
import io.blocktap.transport.Printable;
import io.blocktap.transport.TapChannelOption;
import io.blocktap.transport.frontend.FrontGeometry;
import io.blocktap.transport.loopback.LoopbackAddress;
import io.blocktap.transport.loopback.LoopbackServerChannel;
import io.blocktap.transport.loopback.LoopbackTapChannel;
import io.blocktap.transport.ring.Blkif;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoop;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** An open loopback tap. A frontend names the disk that it wants; each frontend is a session of its own with one ring. */
final class LoopbackTap implements Tap {
    private static final Logger LOG = LoggerFactory.getLogger(LoopbackTap.class);

    private final Path socket;
    private final DiskRegistry disks;
    private final Set<LoopbackTapChannel> channels = ConcurrentHashMap.newKeySet();

    private volatile boolean stopping;

    @SuppressWarnings("NullAway.Init") // by open
    private Channel server;

    private LoopbackTap(Path socket, DiskRegistry disks) {
        this.socket = socket;
        this.disks = disks;
    }

    static LoopbackTap open(Path socket, int maxSessions, DiskRegistry disks, TapLoops loops) throws StageException {
        LoopbackTap tap = new LoopbackTap(socket.toAbsolutePath(), disks);
        ChannelFuture bound = new ServerBootstrap()
                .group(loops.group(), new SteeredLoopGroup(loops.group(), tap::chooseLoop))
                .channel(LoopbackServerChannel.class)
                .option(TapChannelOption.MAX_SESSIONS, maxSessions)
                .childHandler(tap.new Initializer())
                .bind(new LoopbackAddress(tap.socket.toString()))
                .awaitUninterruptibly();
        if (!bound.isSuccess()) {
            throw new StageException("loopback: " + bound.cause().getMessage(), bound.cause());
        }
        tap.server = bound.channel();
        return tap;
    }

    private EventLoop chooseLoop(Channel child, EventLoop next) {
        String name = ((LoopbackTapChannel) child).diskName();
        return disks.find(name).map(disk -> disk.loopFor(next)).orElse(next);
    }

    private final class Initializer extends ChannelInitializer<LoopbackTapChannel> {
        @Override
        protected void initChannel(LoopbackTapChannel channel) {
            // What is decided here needs the loop to watch the channel already, so it waits for channelActive.
            channel.pipeline().addLast(new Admit());
        }
    }

    /** Decides about a new frontend, and makes its pipeline. */
    private final class Admit extends ChannelInboundHandlerAdapter {
        @Override
        public void channelActive(ChannelHandlerContext ctx) {
            LoopbackTapChannel channel = (LoopbackTapChannel) ctx.channel();
            Optional<Disk> found = disks.find(channel.diskName());
            if (found.isEmpty()) {
                channel.refuse("no disk '" + Printable.of(channel.diskName()) + "'; there are "
                        + disks.all().stream()
                                .map(disk -> "'" + disk.name() + "'")
                                .toList());
                return;
            }
            Disk disk = found.get();
            try {
                Session session = disk.connect(LoopbackTapFactory.NAME, socket.toString());
                admit(ctx, channel, disk, session);
            } catch (RefusedException e) {
                channel.refuse(e.reason());
            }
        }

        private void admit(ChannelHandlerContext ctx, LoopbackTapChannel channel, Disk disk, Session session) {
            ChainHandler chain = new ChainHandler(session);
            channel.pipeline()
                    .addLast("codec", new BlkifCodec(channel, chain, new BlkifFeatures(maxIndirect())))
                    .addLast("chain", chain)
                    .addLast("errors", new Errors())
                    .remove(this);
            channels.add(channel);
            if (stopping) {
                channel.stopIntake(); // whoever stopped the others may not have seen it
            }
            Consumer<Geometry> listener =
                    geometry -> channel.eventLoop().execute(() -> channel.tellGeometry(told(geometry)));
            disk.onGeometryChange(listener);
            channel.closeFuture().addListener(closed -> {
                channels.remove(channel);
                disk.removeGeometryListener(listener);
            });
            channel.welcome(told(disk.geometry()));
            ctx.fireChannelActive();
        }
    }

    private static int maxIndirect() {
        return BlkifFeatures.MAX_INDIRECT_SEGMENTS;
    }

    private static FrontGeometry told(Geometry geometry) {
        int flags = (geometry.has(Feature.READ_ONLY) ? FrontGeometry.READ_ONLY : 0)
                | (geometry.has(Feature.FLUSH) ? FrontGeometry.FLUSH : 0)
                | (geometry.has(Feature.DISCARD) ? FrontGeometry.DISCARD : 0)
                | (geometry.has(Feature.ROTATIONAL) ? FrontGeometry.ROTATIONAL : 0);
        return new FrontGeometry(
                geometry.sizeBytes() >> Blkif.SECTOR_SHIFT,
                geometry.logicalBlockBytes(),
                geometry.physicalBlockBytes(),
                flags,
                maxIndirect(),
                geometry.discardGranularityBytes());
    }

    /** Ends a ring whose frontend broke the protocol. */
    private static final class Errors extends ChannelInboundHandlerAdapter {
        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            LOG.warn("{}: the ring is closed: {}", ctx.channel(), cause.toString());
            ctx.close();
        }
    }

    @Override
    public List<String> uris() {
        List<String> uris = new ArrayList<>();
        for (Disk disk : disks.all()) {
            boolean isDefault = disks.find("").filter(found -> found == disk).isPresent();
            String uri = "loopback:unix=" + socket + (isDefault ? "" : ",disk=" + disk.name());
            uris.add(isDefault ? 0 : uris.size(), uri);
        }
        return uris;
    }

    @Override
    public CompletableFuture<Void> stopTaking() {
        stopping = true;
        CompletableFuture<Void> stopped = new CompletableFuture<>();
        server.close().addListener(closed -> stopped.complete(null));
        CompletableFuture<?>[] rings = channels.stream()
                .map(channel -> CompletableFuture.runAsync(channel::stopIntake, channel.eventLoop()))
                .toArray(CompletableFuture[]::new);
        return CompletableFuture.allOf(rings).thenCombine(stopped, (rung, closed) -> null);
    }

    @Override
    public CompletableFuture<Void> close() {
        CompletableFuture<?>[] closed = channels.stream()
                .map(channel -> {
                    CompletableFuture<Void> done = new CompletableFuture<>();
                    channel.close().addListener(future -> done.complete(null));
                    return done;
                })
                .toArray(CompletableFuture[]::new);
        return CompletableFuture.allOf(closed);
    }
}

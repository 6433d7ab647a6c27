package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.socket.AcceptFailures;
import io.blocktap.pipeline.socket.SocketMemory;
import io.blocktap.pipeline.socket.SocketReader;
import io.blocktap.pipeline.socket.SocketTransport;
import io.blocktap.pipeline.socket.TransmissionHandler;
import io.blocktap.transport.memory.MemoryBudget;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.util.concurrent.EventExecutor;
import io.netty.util.concurrent.GlobalEventExecutor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An open NBD server: one listening socket, unix or TCP, and its connections. Each connection is a session of its own.
 *
 * <p>Any thread.
 */
final class NbdTap implements Tap {
    static final Logger LOG = LoggerFactory.getLogger("io.blocktap.nbd");

    /** More unsent replies than this, and no requests are taken until most of them are sent. */
    private static final WriteBufferWaterMark UNSENT = new WriteBufferWaterMark(256 << 10, 1 << 20);
    /** How long clients have to take their last answers. */
    private static final long CLOSE_MILLIS = 5000;

    private final DiskRegistry disks;
    private final NbdLimits limits;
    private final NbdEndpoint endpoint;
    private final TapLoops loops;
    private final MemoryBudget largeRequests;
    private final Map<EventLoop, SocketMemory> memory = new ConcurrentHashMap<>();
    private final ChannelGroup connections = new DefaultChannelGroup(GlobalEventExecutor.INSTANCE);
    private volatile boolean stopping;
    private Channel server;

    @SuppressWarnings("NullAway.Init")
    private NbdTap(NbdEndpoint endpoint, NbdLimits limits, DiskRegistry disks, TapLoops loops) {
        this.endpoint = endpoint;
        this.limits = limits;
        this.disks = disks;
        this.loops = loops;
        this.largeRequests = new MemoryBudget(Math.max(1, loops.budget().limitBytes() / 2));
        for (EventExecutor loop : loops.group()) {
            memory.put((EventLoop) loop, new SocketMemory());
        }
    }

    /** Binds the socket; from then on clients may connect. May wait. */
    static NbdTap open(NbdEndpoint endpoint, NbdLimits limits, DiskRegistry disks, TapLoops loops)
            throws StageException {
        NbdTap tap = new NbdTap(endpoint, limits, disks, loops);
        SocketTransport transport;
        try {
            transport = SocketTransport.of(loops.group());
        } catch (StageException e) {
            throw new StageException("nbd: " + e.getMessage(), e);
        }
        ChannelFuture bound;
        try (NbdEndpoint.Claim claim = endpoint.claim()) {
            bound = bootstrap(tap, endpoint, transport, loops)
                    .bind(claim.address())
                    .awaitUninterruptibly();
        }
        if (!bound.isSuccess()) {
            tap.closeMemory();
            throw new StageException(
                    "nbd: can not listen on " + endpoint + ": " + bound.cause().getMessage(), bound.cause());
        }
        tap.server = bound.channel();
        tap.server.pipeline().addLast("accept-failures", new AcceptFailures("nbd " + endpoint, LOG));
        try {
            endpoint.bound(tap.server.localAddress());
        } catch (StageException e) {
            tap.server.close().awaitUninterruptibly();
            tap.closeMemory();
            throw e;
        }
        return tap;
    }

    private static ServerBootstrap bootstrap(
            NbdTap tap, NbdEndpoint endpoint, SocketTransport transport, TapLoops loops) {
        ServerBootstrap bootstrap = new ServerBootstrap()
                .group(loops.group())
                .channelFactory(endpoint.isUnix() ? transport.unixServer() : transport.tcpServer())
                .childOption(ChannelOption.ALLOCATOR, PooledByteBufAllocator.DEFAULT)
                .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, UNSENT)
                .childHandler(tap.new Initializer(transport));
        if (!endpoint.isUnix()) {
            bootstrap
                    .option(ChannelOption.SO_REUSEADDR, true)
                    .childOption(ChannelOption.TCP_NODELAY, true)
                    .childOption(ChannelOption.SO_KEEPALIVE, true);
        }
        return bootstrap;
    }

    private final class Initializer extends ChannelInitializer<Channel> {
        private final SocketTransport transport;

        Initializer(SocketTransport transport) {
            this.transport = transport;
        }

        @Override
        protected void initChannel(Channel channel) {
            String peer = transport.peer(channel);
            if (stopping || connections.size() >= limits.maxConnections()) {
                LOG.warn(
                        "nbd {}: refused, {}",
                        peer,
                        stopping ? "the server is going down" : "there are max-connections=" + limits.maxConnections());
                channel.close();
                return;
            }
            connections.add(channel);
            SocketReader reader = new SocketReader();
            channel.config().setRecvByteBufAllocator(reader);
            channel.pipeline().addLast("handshake", new NbdHandshakeHandler(NbdTap.this, reader, peer));
        }
    }

    // ---- for the connections' handlers

    DiskRegistry disks() {
        return disks;
    }

    NbdLimits limits() {
        return limits;
    }

    /** Returns whether nothing new may begin. */
    boolean isStopping() {
        return stopping;
    }

    /** Returns what requests above a connection's share may hold, over all connections. */
    MemoryBudget largeRequests() {
        return largeRequests;
    }

    SocketMemory memory(EventLoop loop) {
        SocketMemory present = memory.get(loop);
        if (present == null) {
            throw new IllegalStateException("not one of the tap's loops: " + loop);
        }
        return present;
    }

    // ---- the tap

    @Override
    public List<String> uris() {
        List<String> uris = new ArrayList<>();
        for (Disk disk : disks.all()) {
            boolean isDefault = disks.find("").filter(found -> found == disk).isPresent();
            uris.add(isDefault ? 0 : uris.size(), endpoint.uri(isDefault ? "" : disk.name()));
        }
        return uris;
    }

    @Override
    public CompletableFuture<Void> stopTaking() {
        stopping = true;
        CompletableFuture<Void> closed = new CompletableFuture<>();
        NbdEndpoint.Closing closing = endpoint.closing();
        server.close().addListener(done -> {
            closing.close();
            closed.complete(null);
        });
        // A turn of a loop that began before it saw the flag is over when a task of that loop runs.
        List<CompletableFuture<Void>> all = new ArrayList<>();
        all.add(closed);
        for (EventExecutor loop : loops.group()) {
            all.add(CompletableFuture.runAsync(() -> {}, loop));
        }
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }

    @Override
    public CompletableFuture<Void> close() {
        CompletableFuture<Void> stopped = stopping ? CompletableFuture.completedFuture(null) : stopTaking();
        return stopped.thenCompose(ok -> closeConnections()).thenCompose(ok -> closeMemory());
    }

    private CompletableFuture<Void> closeConnections() {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        for (Channel channel : connections) {
            CompletableFuture<Void> closed = new CompletableFuture<>();
            all.add(closed);
            channel.closeFuture().addListener(done -> closed.complete(null));
            channel.eventLoop().execute(() -> channel.pipeline().fireUserEventTriggered(TransmissionHandler.CLOSE));
            channel.eventLoop()
                    .schedule(
                            () -> {
                                if (channel.isOpen()) {
                                    LOG.warn("nbd: {} did not take its last answers; closed", channel);
                                    channel.close();
                                }
                            },
                            CLOSE_MILLIS,
                            TimeUnit.MILLISECONDS);
        }
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }

    private CompletableFuture<Void> closeMemory() {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        memory.forEach((loop, own) -> all.add(CompletableFuture.runAsync(own::close, loop)));
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }
}

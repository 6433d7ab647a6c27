package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.codec.gnbd.GnbdText;
import io.blocktap.pipeline.socket.AcceptFailures;
import io.blocktap.pipeline.socket.SocketMemory;
import io.blocktap.pipeline.socket.SocketReader;
import io.blocktap.pipeline.socket.SocketTransport;
import io.blocktap.pipeline.socket.TransmissionHandler;
import io.blocktap.transport.LogLimiter;
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
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An open GNBD server: one listening TCP socket and its connections, each of them a control request or a session.
 *
 * <p>Any thread.
 */
final class GnbdTap implements Tap {
    static final Logger LOG = LoggerFactory.getLogger("io.blocktap.gnbd");

    /** More unsent replies than this, and no requests are taken until most of them are sent. */
    private static final WriteBufferWaterMark UNSENT = new WriteBufferWaterMark(256 << 10, 1 << 20);
    /** How long clients have to take their last answers. */
    private static final long CLOSE_MILLIS = 5000;

    private static final Path HOST_NAME = Path.of("/proc/sys/kernel/hostname");
    private static final int MAX_NODE_NAME = 255;

    private final GnbdExports exports;
    private final GnbdSettings settings;
    private final TapLoops loops;
    private final GnbdSessions sessions = new GnbdSessions();
    private final MemoryBudget largeRequests;
    private final Map<EventLoop, SocketMemory> memory = new ConcurrentHashMap<>();
    private final ChannelGroup connections = new DefaultChannelGroup(GlobalEventExecutor.INSTANCE);
    private final LogLimiter refusals = new LogLimiter(TimeUnit.MINUTES.toNanos(1));
    private final LogLimiter faults = new LogLimiter(TimeUnit.SECONDS.toNanos(10));
    private final String nodeName = readNodeName();
    private volatile boolean stopping;
    private Channel server;

    @SuppressWarnings("NullAway.Init")
    private GnbdTap(GnbdExports exports, GnbdSettings settings, TapLoops loops) {
        this.exports = exports;
        this.settings = settings;
        this.loops = loops;
        this.largeRequests = new MemoryBudget(Math.max(1, loops.budget().limitBytes() / 2));
        for (EventExecutor loop : loops.group()) {
            memory.put((EventLoop) loop, new SocketMemory());
        }
    }

    /** Binds the socket; from then on clients may connect. May wait. */
    static GnbdTap open(InetSocketAddress wanted, GnbdExports exports, GnbdSettings settings, TapLoops loops)
            throws StageException {
        String shown = SocketTransport.hostAndPort(wanted.getHostString(), wanted.getPort());
        InetSocketAddress address = new InetSocketAddress(wanted.getHostString(), wanted.getPort());
        if (address.isUnresolved()) {
            throw new StageException(
                    "gnbd: tcp=" + shown + ": this host name is not known; write an address of this machine");
        }
        SocketTransport transport;
        try {
            transport = SocketTransport.of(loops.group());
        } catch (StageException e) {
            throw new StageException("gnbd: " + e.getMessage(), e);
        }
        GnbdTap tap = new GnbdTap(exports, settings, loops);
        ChannelFuture bound = new ServerBootstrap()
                .group(loops.group())
                .channelFactory(transport.tcpServer())
                .option(ChannelOption.SO_REUSEADDR, true)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childOption(ChannelOption.SO_KEEPALIVE, true)
                .childOption(ChannelOption.ALLOCATOR, PooledByteBufAllocator.DEFAULT)
                .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, UNSENT)
                .childHandler(tap.new Initializer(transport))
                .bind(address)
                .awaitUninterruptibly();
        if (!bound.isSuccess()) {
            tap.closeMemory();
            throw new StageException(
                    "gnbd: can not listen on " + shown + ": " + bound.cause().getMessage(), bound.cause());
        }
        tap.server = bound.channel();
        tap.server.pipeline().addLast("accept-failures", new AcceptFailures("gnbd " + shown, LOG));
        return tap;
    }

    private static String readNodeName() {
        String name = "";
        try {
            name = Files.readString(HOST_NAME, StandardCharsets.ISO_8859_1).trim();
        } catch (IOException e) {
            LOG.warn("gnbd: the node has no name for NODENAME: {}", e.toString());
        }
        return GnbdText.fits(name, MAX_NODE_NAME) ? name : "";
    }

    private final class Initializer extends ChannelInitializer<Channel> {
        private final SocketTransport transport;

        Initializer(SocketTransport transport) {
            this.transport = transport;
        }

        @Override
        protected void initChannel(Channel channel) {
            if (stopping || connections.size() >= settings.maxConnections()) {
                refuse(transport.peer(channel));
                channel.close();
                return;
            }
            connections.add(channel);
            SocketReader reader = new SocketReader();
            channel.config().setRecvByteBufAllocator(reader);
            channel.pipeline()
                    .addLast("control", new GnbdControlHandler(GnbdTap.this, reader, transport.peer(channel)));
        }
    }

    private void refuse(String peer) {
        long times = refusals.count();
        if (times > 0) {
            LOG.warn(
                    "gnbd {}: refused, {} ({} times)",
                    peer,
                    stopping ? "the server is going down" : "there are max-connections=" + settings.maxConnections(),
                    times);
        }
    }

    // ---- for the connections' handlers

    GnbdExports exports() {
        return exports;
    }

    GnbdSettings settings() {
        return settings;
    }

    GnbdSessions sessions() {
        return sessions;
    }

    /** Returns this machine's own name. */
    String nodeName() {
        return nodeName;
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

    /** Logs what a client has done wrong on the control side, not more often than once in ten seconds. */
    void warn(String peer, String what) {
        long times = faults.count();
        if (times == 1) {
            LOG.warn("gnbd {}: {}", peer, what);
        } else if (times > 1) {
            LOG.warn("gnbd {}: {} ({} such since the last line)", peer, what, times);
        }
    }

    // ---- the tap

    @Override
    public List<String> uris() {
        InetSocketAddress bound = (InetSocketAddress) server.localAddress();
        String at = SocketTransport.hostAndPort(bound.getAddress().getHostAddress(), bound.getPort());
        return exports.names().stream().map(name -> "gnbd://" + at + "/" + name).toList();
    }

    @Override
    public CompletableFuture<Void> stopTaking() {
        stopping = true;
        CompletableFuture<Void> closed = new CompletableFuture<>();
        server.close().addListener(done -> closed.complete(null));
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
            channel.eventLoop().schedule(() -> closeLate(channel), CLOSE_MILLIS, TimeUnit.MILLISECONDS);
        }
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }

    private static void closeLate(Channel channel) {
        if (channel.isOpen()) {
            LOG.warn("gnbd: {} did not take its last answers; closed", channel);
            channel.close();
        }
    }

    private CompletableFuture<Void> closeMemory() {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        memory.forEach((loop, own) -> all.add(CompletableFuture.runAsync(own::close, loop)));
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }
}

package io.blocktap.pipeline.socket;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.TapLoops;
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
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;

/**
 * The listening socket of a tap, its connections, and what they share: memory, limits, the end. What is said on a connection is the tap's business.
 *
 * <p>Any thread.
 */
public final class SocketServer {
    /** More unsent replies than this, and no requests are taken until most of them are sent. */
    private static final WriteBufferWaterMark UNSENT = new WriteBufferWaterMark(256 << 10, 1 << 20);
    /** How long clients have to take their last answers. */
    private static final long CLOSE_MILLIS = 5000;

    private final String tap;
    private final int maxConnections;
    private final TapLoops loops;
    private final Logger log;
    private final FaultLog faults;
    private final MemoryBudget largeRequests;
    private final Map<EventLoop, SocketMemory> memory = new ConcurrentHashMap<>();
    private final ChannelGroup connections = new DefaultChannelGroup(GlobalEventExecutor.INSTANCE);
    private volatile boolean stopping;
    private Channel server;

    /** Gives new connections their first handler. */
    public interface Welcome {
        /**
         * Called on the event loop of a connection that was accepted.
         *
         * @param channel gets its handlers here
         * @param reader where its bytes go
         * @param peer who it is, for logs
         */
        void to(Channel channel, SocketReader reader, String peer);
    }

    /**
     * Makes a server that does not listen yet.
     *
     * @param tap its kind, for messages: {@code nbd}
     * @param maxConnections connections at a time; further ones are closed at once
     * @param log the tap's
     */
    @SuppressWarnings("NullAway.Init") // by listen
    public SocketServer(String tap, int maxConnections, TapLoops loops, Logger log) {
        this.tap = tap;
        this.maxConnections = maxConnections;
        this.loops = loops;
        this.log = log;
        this.faults = new FaultLog(log);
        this.largeRequests = new MemoryBudget(Math.max(1, loops.budget().limitBytes() / 2));
        for (EventExecutor loop : loops.group()) {
            memory.put((EventLoop) loop, new SocketMemory());
        }
    }

    /** Returns the channels that fit a tap's event loops. */
    public static SocketTransport transport(String tap, TapLoops loops) throws StageException {
        try {
            return SocketTransport.of(loops.group());
        } catch (StageException e) {
            throw new StageException(tap + ": " + e.getMessage(), e);
        }
    }

    /**
     * Binds the socket; from then on clients may connect. May wait. Once.
     *
     * @param address TCP if it is an {@link InetSocketAddress}, otherwise of a unix socket
     * @param shown the address as the user has written it
     * @throws StageException if it can not be bound; the server is closed then
     */
    public void listen(SocketTransport transport, SocketAddress address, String shown, Welcome welcome)
            throws StageException {
        boolean isTcp = address instanceof InetSocketAddress;
        ServerBootstrap bootstrap = new ServerBootstrap()
                .group(loops.group())
                .channelFactory(isTcp ? transport.tcpServer() : transport.unixServer())
                .childOption(ChannelOption.ALLOCATOR, PooledByteBufAllocator.DEFAULT)
                .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, UNSENT)
                .childHandler(new Initializer(transport, welcome));
        if (isTcp) {
            bootstrap
                    .option(ChannelOption.SO_REUSEADDR, true)
                    .childOption(ChannelOption.TCP_NODELAY, true)
                    .childOption(ChannelOption.SO_KEEPALIVE, true);
        }
        ChannelFuture bound = bootstrap.bind(address).awaitUninterruptibly();
        if (!bound.isSuccess()) {
            closeMemory();
            throw new StageException(
                    tap + ": can not listen on " + shown + ": " + bound.cause().getMessage(), bound.cause());
        }
        server = bound.channel();
        server.pipeline().addLast("accept-failures", new AcceptFailures(tap + " " + shown, log));
    }

    private final class Initializer extends ChannelInitializer<Channel> {
        private final SocketTransport transport;
        private final Welcome welcome;

        Initializer(SocketTransport transport, Welcome welcome) {
            this.transport = transport;
            this.welcome = welcome;
        }

        @Override
        protected void initChannel(Channel channel) {
            if (stopping || connections.size() >= maxConnections) {
                refuse(transport.peer(channel));
                channel.close();
                return;
            }
            connections.add(channel);
            SocketReader reader = new SocketReader();
            channel.config().setRecvByteBufAllocator(reader);
            welcome.to(channel, reader, transport.peer(channel));
        }
    }

    private void refuse(String peer) {
        faults.tell(
                FaultLog.Kind.TURNED_AWAY,
                tap + " " + peer,
                "refused, " + (stopping ? "the server is going down" : "there are max-connections=" + maxConnections));
    }

    // ---- for the connections' handlers

    /** Returns the address that it listens on. */
    public SocketAddress localAddress() {
        return server.localAddress();
    }

    /** Returns whether nothing new may begin. */
    public boolean isStopping() {
        return stopping;
    }

    /** Returns where clients' faults are told. */
    public FaultLog faults() {
        return faults;
    }

    /** Returns what requests above a connection's share may hold, over all connections. */
    public MemoryBudget largeRequests() {
        return largeRequests;
    }

    /** Returns what the sockets of one of the tap's event loops share. */
    public SocketMemory memory(EventLoop loop) {
        SocketMemory present = memory.get(loop);
        if (present == null) {
            throw new IllegalStateException("not one of the tap's loops: " + loop);
        }
        return present;
    }

    // ---- the end

    /**
     * Takes no more connections, and no more requests.
     *
     * @param whenClosed runs when the listening socket is closed
     * @return completes when no event loop is in a turn that began before
     */
    public CompletableFuture<Void> stopTaking(Runnable whenClosed) {
        stopping = true;
        CompletableFuture<Void> closed = new CompletableFuture<>();
        server.close().addListener(done -> {
            whenClosed.run();
            closed.complete(null);
        });
        // A turn of a loop that began before it saw the flag is over when a task of that loop runs.
        List<CompletableFuture<Void>> all = new ArrayList<>();
        all.add(closed);
        for (EventExecutor loop : loops.group()) {
            all.add(CompletableFuture.runAsync(() -> {}, loop));
        }
        return allOf(all);
    }

    /** Closes the connections after their last answers, and gives back all memory; after {@link #stopTaking}. */
    public CompletableFuture<Void> close() {
        return closeConnections().thenCompose(ok -> closeMemory());
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
        return allOf(all);
    }

    private void closeLate(Channel channel) {
        if (channel.isOpen()) {
            log.warn("{}: {} did not take its last answers; closed", tap, channel);
            channel.close();
        }
    }

    private CompletableFuture<Void> closeMemory() {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        memory.forEach((loop, own) -> all.add(CompletableFuture.runAsync(own::close, loop)));
        return allOf(all);
    }

    private static CompletableFuture<Void> allOf(List<CompletableFuture<Void>> all) {
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }
}

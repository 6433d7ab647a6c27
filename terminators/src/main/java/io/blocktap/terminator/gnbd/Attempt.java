package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.codec.gnbd.GnbdExport;
import io.blocktap.pipeline.codec.gnbd.GnbdProtocolException;
import io.blocktap.pipeline.socket.SocketMemory;
import io.blocktap.pipeline.socket.SocketReader;
import io.blocktap.pipeline.socket.SocketTransport;
import io.blocktap.transport.Printable;
import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelOption;
import io.netty.channel.ConnectTimeoutException;
import io.netty.channel.EventLoop;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.channel.uring.IoUringChannelOption;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.nio.channels.ClosedChannelException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * One try to log in: asks the server for its exports, has the sessions ended that this node had before, so that nothing they have sent can be written any more, and opens new ones.
 *
 * <p>A peer that is gone is noticed by TCP: unanswered for {@link #SILENT_MILLIS}, a connection ends. A server that is merely slow, or was stopped, acknowledges
 * what it gets, and is waited for.
 *
 * <p>Threads: the home loop, after {@link #run}.
 */
final class Attempt {
    private static final int CONNECT_MILLIS = 5_000;
    private static final int ANSWER_SECONDS = 30;
    private static final int SILENT_MILLIS = 20_000;
    private static final int IDLE_SECONDS = 10;
    private static final int PROBE_SECONDS = 5;

    /**
     * What a try has brought.
     *
     * @param export as the server tells of it
     * @param sizeBytes the disk's size
     * @param connections open, at least one
     */
    record Opened(GnbdExport export, long sizeBytes, List<DataConnection> connections) {}

    private final GnbdConfig config;
    private final EventLoop loop;
    private final Executor workers;
    private final SocketTransport transport;
    private final SocketMemory memory;
    private final OutgoingData outgoing;
    private final DataConnection.Owner owner;
    private final ChannelGroup channels;

    Attempt(
            GnbdConfig config,
            EventLoop loop,
            Executor workers,
            SocketMemory memory,
            OutgoingData outgoing,
            DataConnection.Owner owner)
            throws StageException {
        this.config = config;
        this.loop = loop;
        this.workers = workers;
        this.transport = SocketTransport.of(loop);
        this.memory = memory;
        this.outgoing = outgoing;
        this.owner = owner;
        this.channels = new DefaultChannelGroup(loop, true);
    }

    /** Tries. Completes on the loop; if it fails, with a {@link ServerException}, and all its connections are closed. */
    CompletableFuture<Opened> run() {
        CompletableFuture<Opened> result = new CompletableFuture<>();
        CompletableFuture.supplyAsync(this::resolve, workers)
                .thenComposeAsync(addresses -> open(addresses, 0), loop)
                .whenCompleteAsync((opened, failure) -> end(opened, failure, result), loop);
        return result;
    }

    private void end(@Nullable Opened opened, @Nullable Throwable failure, CompletableFuture<Opened> result) {
        if (opened != null && opened.connections().stream().allMatch(DataConnection::isOpen)) {
            result.complete(opened);
            return;
        }
        ServerException reason = failure == null
                ? new ServerException("the server has closed a connection that it had just opened", false)
                : reason(failure);
        channels.close().addListener(closed -> result.completeExceptionally(reason));
    }

    /** Ends all connections of this try, and what it is doing. The future of {@link #run} fails, if it is not complete. */
    void cancel() {
        channels.close();
    }

    /** Returns what completes when none of its connections is open any more. */
    CompletableFuture<Void> closed() {
        CompletableFuture<Void> done = new CompletableFuture<>();
        channels.newCloseFuture().addListener(closed -> done.complete(null));
        return done;
    }

    private List<InetSocketAddress> resolve() {
        try {
            List<InetSocketAddress> addresses = new ArrayList<>();
            for (InetAddress address : InetAddress.getAllByName(config.host())) {
                addresses.add(new InetSocketAddress(address, config.port()));
            }
            return addresses;
        } catch (UnknownHostException e) {
            throw new CompletionException(new ServerException("nobody knows a host of this name", false));
        }
    }

    private CompletableFuture<Opened> open(List<InetSocketAddress> addresses, int index) {
        CompletableFuture<Opened> opened = open(addresses.get(index));
        return index + 1 == addresses.size()
                ? opened
                : opened.exceptionallyCompose(
                        failure -> reason(failure).isRefusal() ? opened : open(addresses, index + 1));
    }

    private CompletableFuture<Opened> open(InetSocketAddress address) {
        return exchange(address, GnbdControl.of(Gnbd.NAMES))
                .thenApply(this::find)
                .thenCompose(export -> exchange(address, GnbdControl.kill(config.export(), config.node()))
                        .thenAccept(Attempt::checkKill)
                        .thenCompose(killed -> logIn(address, export, new ArrayList<>())));
    }

    private GnbdExport find(ByteBuf answer) {
        int errno = answer.readInt();
        if (errno != 0) {
            throw refused("it answers NAMES with error " + errno);
        }
        int listBytes = answer.readInt();
        List<GnbdExport> exports;
        try {
            exports = GnbdExport.readAll(answer, answer.readerIndex(), listBytes);
        } catch (GnbdProtocolException e) {
            throw refused(String.valueOf(e.getMessage()));
        }
        return exports.stream()
                .filter(export -> export.name().equals(config.export()))
                .findFirst()
                .orElseThrow(() -> refused("it has no export '" + config.export() + "'; " + told(exports)));
    }

    private static String told(List<GnbdExport> exports) {
        final int most = 8;
        if (exports.isEmpty()) {
            return "it has none";
        }
        String names = exports.stream()
                .limit(most)
                .map(export -> "'" + Printable.of(export.name()) + "'")
                .collect(Collectors.joining(", "));
        return "it has " + names + (exports.size() > most ? " and " + (exports.size() - most) + " more" : "");
    }

    private static void checkKill(ByteBuf answer) {
        int errno = answer.readInt();
        if (errno != 0 && errno != Gnbd.ENODEV) {
            throw refused("it does not end this node's old sessions: error " + errno);
        }
    }

    private CompletableFuture<Opened> logIn(
            InetSocketAddress address, GnbdExport export, List<DataConnection> connections) {
        DataConnection connection = new DataConnection(
                GnbdControl.login(Incarnation.TIMESTAMP, config.export(), config.node()), memory, outgoing, owner);
        connections.add(connection);
        return until(connection.opened(), connect(address, connection, connection))
                .thenCompose(sectors -> {
                    if (connections.size() < config.connections()) {
                        return logIn(address, export, connections);
                    }
                    if (sectors < 0 || sectors > Long.MAX_VALUE / Gnbd.SECTOR_BYTES) {
                        throw refused("it tells of a disk of " + Long.toUnsignedString(sectors) + " sectors");
                    }
                    return CompletableFuture.completedFuture(
                            new Opened(export, sectors * Gnbd.SECTOR_BYTES, connections));
                });
    }

    private CompletableFuture<ByteBuf> exchange(InetSocketAddress address, GnbdControl request) {
        ControlExchange exchange = new ControlExchange(request);
        return until(exchange.answer(), connect(address, exchange, null));
    }

    /** Waits for an answer, the failure to connect, or the end of patience. */
    private <T> CompletableFuture<T> until(CompletableFuture<T> answer, ChannelFuture connected) {
        connected.addListener(done -> {
            if (!done.isSuccess()) {
                answer.completeExceptionally(new ServerException(why(done.cause()), false));
            }
        });
        var patience = loop.schedule(
                () -> answer.completeExceptionally(
                        new ServerException("the server has not answered for " + ANSWER_SECONDS + " s", false)),
                ANSWER_SECONDS,
                TimeUnit.SECONDS);
        return answer.whenComplete((value, failure) -> {
            patience.cancel(false);
            if (failure != null) {
                connected.channel().close();
            }
        });
    }

    private ChannelFuture connect(
            InetSocketAddress address, ChannelHandler handler, SocketReader.@Nullable Target target) {
        SocketReader reader = new SocketReader();
        if (target != null) {
            reader.readInto(target);
        }
        Bootstrap bootstrap = new Bootstrap()
                .group(loop)
                .channelFactory(transport.tcpClient())
                .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_MILLIS)
                .option(ChannelOption.TCP_NODELAY, true)
                .option(ChannelOption.SO_KEEPALIVE, true)
                .option(ChannelOption.RECVBUF_ALLOCATOR, reader)
                .handler(handler);
        if (transport == SocketTransport.EPOLL) {
            bootstrap
                    .option(EpollChannelOption.TCP_KEEPIDLE, IDLE_SECONDS)
                    .option(EpollChannelOption.TCP_KEEPINTVL, PROBE_SECONDS)
                    .option(EpollChannelOption.TCP_USER_TIMEOUT, SILENT_MILLIS);
        } else {
            bootstrap
                    .option(IoUringChannelOption.TCP_KEEPIDLE, IDLE_SECONDS)
                    .option(IoUringChannelOption.TCP_KEEPINTVL, PROBE_SECONDS)
                    .option(IoUringChannelOption.TCP_USER_TIMEOUT, SILENT_MILLIS);
        }
        ChannelFuture connected = bootstrap.connect(address);
        Channel channel = connected.channel();
        channels.add(channel);
        return connected;
    }

    /** Says in words why a connection has failed. */
    static String why(Throwable cause) {
        if (cause instanceof ClosedChannelException) {
            return "the server has closed the connection";
        }
        if (cause instanceof ConnectTimeoutException) {
            return "no connection within " + CONNECT_MILLIS + " ms";
        }
        if (cause instanceof ConnectException) {
            return "connection refused; does the server run, and listen on this port (port=)?";
        }
        return cause.getMessage() == null ? cause.toString() : cause.getMessage();
    }

    private static CompletionException refused(String reason) {
        return new CompletionException(new ServerException(reason, true));
    }

    /** Returns why a step has failed. */
    static ServerException reason(Throwable failure) {
        Throwable cause = failure;
        while (cause instanceof CompletionException || cause instanceof ExecutionException) {
            Throwable inner = cause.getCause();
            if (inner == null) {
                break;
            }
            cause = inner;
        }
        return cause instanceof ServerException known ? known : new ServerException(cause.toString(), false);
    }
}

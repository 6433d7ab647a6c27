package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.codec.gnbd.GnbdText;
import io.blocktap.pipeline.socket.SocketServer;
import io.blocktap.pipeline.socket.SocketTransport;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An open GNBD server: one listening TCP socket and its connections, each of them a control request or a session.
 *
 * <p>Any thread.
 */
final class GnbdTap implements Tap {
    static final Logger LOG = LoggerFactory.getLogger("io.blocktap.gnbd");

    private static final Path HOST_NAME = Path.of("/proc/sys/kernel/hostname");
    private static final int MAX_NODE_NAME = 255;

    private final GnbdExports exports;
    private final GnbdSettings settings;
    private final SocketServer server;
    private final GnbdSessions sessions = new GnbdSessions();
    private final String nodeName = readNodeName();

    private GnbdTap(GnbdExports exports, GnbdSettings settings, TapLoops loops) {
        this.exports = exports;
        this.settings = settings;
        this.server = new SocketServer(GnbdTapFactory.NAME, settings.limits().maxConnections(), loops, LOG);
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
        SocketTransport transport = SocketServer.transport(GnbdTapFactory.NAME, loops);
        GnbdTap tap = new GnbdTap(exports, settings, loops);
        tap.server.listen(
                transport,
                address,
                shown,
                (channel, reader, peer) ->
                        channel.pipeline().addLast("control", new GnbdControlHandler(tap, reader, peer)));
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

    SocketServer server() {
        return server;
    }

    /** Returns whether nothing new may begin. */
    boolean isStopping() {
        return server.isStopping();
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
        return server.stopTaking(() -> {});
    }

    @Override
    public CompletableFuture<Void> close() {
        CompletableFuture<Void> stopped = isStopping() ? CompletableFuture.completedFuture(null) : stopTaking();
        return stopped.thenCompose(ok -> server.close());
    }
}

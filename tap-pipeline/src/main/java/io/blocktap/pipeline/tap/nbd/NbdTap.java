package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.socket.SocketServer;
import io.blocktap.pipeline.socket.SocketTransport;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An open NBD server: one listening socket, unix or TCP, and its connections. Each connection is a session of its own.
 *
 * <p>Any thread.
 */
final class NbdTap implements Tap {
    static final Logger LOG = LoggerFactory.getLogger("io.blocktap.nbd");

    private final DiskRegistry disks;
    private final NbdLimits limits;
    private final NbdEndpoint endpoint;
    private final SocketServer server;

    private NbdTap(NbdEndpoint endpoint, NbdLimits limits, DiskRegistry disks, TapLoops loops) {
        this.endpoint = endpoint;
        this.limits = limits;
        this.disks = disks;
        this.server = new SocketServer(NbdTapFactory.NAME, limits.socket().maxConnections(), loops, LOG);
    }

    /** Binds the socket; from then on clients may connect. May wait. */
    static NbdTap open(NbdEndpoint endpoint, NbdLimits limits, DiskRegistry disks, TapLoops loops)
            throws StageException {
        SocketTransport transport = SocketServer.transport(NbdTapFactory.NAME, loops);
        NbdTap tap = new NbdTap(endpoint, limits, disks, loops);
        try (NbdEndpoint.Claim claim = endpoint.claim()) {
            tap.server.listen(
                    transport,
                    claim.address(),
                    endpoint.toString(),
                    (channel, reader, peer) ->
                            channel.pipeline().addLast("handshake", new NbdHandshakeHandler(tap, reader, peer)));
        }
        try {
            endpoint.bound(tap.server.localAddress());
        } catch (StageException e) {
            tap.server
                    .stopTaking(() -> {})
                    .thenCompose(ok -> tap.server.close())
                    .join();
            throw e;
        }
        return tap;
    }

    // ---- for the connections' handlers

    DiskRegistry disks() {
        return disks;
    }

    NbdLimits limits() {
        return limits;
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
        List<String> uris = new ArrayList<>();
        for (Disk disk : disks.all()) {
            boolean isDefault = disks.find("").filter(found -> found == disk).isPresent();
            uris.add(isDefault ? 0 : uris.size(), endpoint.uri(isDefault ? "" : disk.name()));
        }
        return uris;
    }

    @Override
    public CompletableFuture<Void> stopTaking() {
        NbdEndpoint.Closing closing = endpoint.closing();
        return server.stopTaking(closing::close);
    }

    @Override
    public CompletableFuture<Void> close() {
        CompletableFuture<Void> stopped = isStopping() ? CompletableFuture.completedFuture(null) : stopTaking();
        return stopped.thenCompose(ok -> server.close());
    }
}

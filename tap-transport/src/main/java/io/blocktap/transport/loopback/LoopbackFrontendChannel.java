package io.blocktap.transport.loopback;

import io.blocktap.transport.FdPoll;
import io.blocktap.transport.TapException;
import io.blocktap.transport.frontend.FrontChannel;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.NativeException;
import io.blocktap.transport.sys.SeqPacketSocket;
import io.netty.channel.ChannelPromise;
import io.netty.channel.ConnectTimeoutException;
import io.netty.util.concurrent.Future;
import java.io.IOException;
import java.net.ConnectException;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.AlreadyConnectedException;
import java.nio.channels.ClosedChannelException;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The frontend's end of a loopback ring: {@code new Bootstrap().channel(LoopbackFrontendChannel.class).connect(new LoopbackAddress(path))}. Any
 * process that may use the socket can run one. {@link LoopbackFrontend} is the comfortable way to use it.
 *
 * <p>Threads: the channel's event loop, for everything but the {@code Channel} methods.
 */
public final class LoopbackFrontendChannel extends FrontChannel {
    private @Nullable SeqPacketSocket socket;
    private @Nullable FdPoll socketPoll;
    private @Nullable ChannelPromise connecting;
    private @Nullable Future<?> connectTimeout;
    private @Nullable LoopbackAddress remote;
    private @Nullable Fd kick;
    private @Nullable Fd call;

    /** Makes an unconnected channel with a ring of one page and 1024 data pages. */
    public LoopbackFrontendChannel() {
        this(BlkifLayout.X86_64, 1, 1024);
    }

    /**
     * Makes an unconnected channel.
     *
     * @param layout the ring's ABI
     * @param ringPages 1, 2, 4, 8 or 16
     * @param dataPages 4 KiB pages for the data of all requests, 1 to 16384
     */
    public LoopbackFrontendChannel(BlkifLayout layout, int ringPages, int dataPages) {
        super(layout, ringPages, dataPages);
    }

    // ---- connecting

    @Override
    protected AbstractUnsafe newUnsafe() {
        return new FrontendUnsafe();
    }

    @Override
    protected void doRegister(ChannelPromise promise) {
        promise.setSuccess(); // there is nothing to watch before connect
    }

    private final class FrontendUnsafe extends AbstractUnsafe {
        @Override
        public void connect(SocketAddress remoteAddress, SocketAddress localAddress, ChannelPromise promise) {
            if (!promise.setUncancellable() || !ensureOpen(promise)) {
                return;
            }
            if (socket != null) {
                safeSetFailure(promise, new AlreadyConnectedException());
                return;
            }
            if (!(remoteAddress instanceof LoopbackAddress address)) {
                safeSetFailure(promise, new TapException("not a LoopbackAddress: " + remoteAddress));
                return;
            }
            try {
                remote = address;
                socket = SeqPacketSocket.connectTo(address.path());
                connecting = promise;
                sayHello(socket, address);
            } catch (IOException e) {
                ConnectException failure =
                        new ConnectException("no loopback tap at " + remoteAddress + ": " + e.getMessage());
                failure.initCause(e);
                connecting = promise;
                failConnect(failure);
            }
        }
    }

    private void sayHello(SeqPacketSocket connected, LoopbackAddress address) throws IOException {
        ByteBuffer hello = Handshake.hello(new Handshake.Hello(layout(), ringPages(), dataPages(), address.diskName()));
        try {
            connected.send(hello);
        } catch (NativeException e) {
            socketReady(); // a tap that refuses us at once has said why before it closed
            if (connecting == null) {
                return;
            }
            throw e;
        }
        int millis = config().getConnectTimeoutMillis();
        if (millis > 0) {
            connectTimeout = eventLoop()
                    .schedule(
                            () -> failConnect(new ConnectTimeoutException(
                                    "no answer from the loopback tap at " + address + " within " + millis + " ms")),
                            millis,
                            TimeUnit.MILLISECONDS);
        }
        FdPoll.attach(
                        eventLoop(),
                        connected.fd(),
                        FdPoll.IN | FdPoll.RDHUP,
                        events -> socketReady(),
                        this::closeBecauseLoopEnds)
                .addListener((Future<FdPoll> future) -> socketWatched(future));
    }

    private void socketWatched(Future<FdPoll> future) {
        if (!future.isSuccess()) {
            failConnect(future.cause());
            return;
        }
        if (!isOpen()) {
            future.getNow().detach();
            return;
        }
        socketPoll = future.getNow();
        socketReady();
    }

    private @Nullable ChannelPromise endConnecting() {
        ChannelPromise promise = connecting;
        connecting = null;
        Future<?> timeout = connectTimeout;
        connectTimeout = null;
        if (timeout != null) {
            timeout.cancel(false);
        }
        return promise;
    }

    private void failConnect(Throwable cause) {
        ChannelPromise promise = endConnecting();
        if (promise != null) {
            promise.tryFailure(cause);
        }
        close();
    }

    private void socketReady() {
        SeqPacketSocket current = socket;
        try {
            SeqPacketSocket.Packet packet;
            while (isOpen() && current != null && (packet = current.receive()) != null) {
                onPacket(packet);
            }
        } catch (NativeException | TapException e) {
            fail(e);
        }
    }

    private void onPacket(SeqPacketSocket.Packet packet) throws TapException, NativeException {
        ByteBuffer data = packet.data();
        boolean taken = false;
        try {
            if (data.limit() == 0) {
                fail(new ClosedChannelException());
                return;
            }
            switch (Handshake.type(data)) {
                case Handshake.WELCOME -> {
                    onWelcome(data, packet.fds());
                    taken = true;
                }
                case Handshake.REFUSED -> fail(new TapException("refused: " + Handshake.parseRefused(data)));
                case Handshake.GEOMETRY -> tellGeometry(Handshake.parseGeometry(data));
                default -> throw new TapException("unknown message type " + Handshake.type(data));
            }
        } finally {
            if (!taken) {
                packet.fds().forEach(Fd::close);
            }
        }
    }

    private void fail(Exception cause) {
        if (connecting != null) {
            failConnect(cause);
        } else {
            if (!(cause instanceof ClosedChannelException)) {
                pipeline().fireExceptionCaught(cause);
            }
            close();
        }
    }

    private void onWelcome(ByteBuffer data, List<Fd> fds) throws TapException, NativeException {
        if (fds.size() != 3 || connecting == null) {
            throw new TapException("a WELCOME with " + fds.size() + " descriptors; it has 3 and comes once");
        }
        try (Fd memory = fds.get(0)) {
            kick = fds.get(1);
            call = fds.get(2);
            tellGeometry(Handshake.parseGeometry(data));
            if (Handshake.dataPages(data) != dataPages()) {
                throw new TapException(
                        Handshake.dataPages(data) + " data pages were given, " + dataPages() + " were asked for");
            }
            attach(MappedRegion.shared(memory, (ringPages() + dataPages()) * Blkif.PAGE_BYTES));
        }
        watch(fds.get(2)).addListener((Future<Object> future) -> {
            if (!future.isSuccess()) {
                failConnect(future.cause());
                return;
            }
            ChannelPromise promise = endConnecting();
            setActive(true);
            if (promise != null && !promise.trySuccess()) {
                close();
                return;
            }
            pipeline().fireChannelActive();
        });
    }

    // ---- for the ring

    @Override
    protected int grefOf(int page) {
        return page; // the tap takes page numbers of the memfd for grants
    }

    @Override
    protected void notifyBackend() {
        Fd doorbell = kick;
        if (doorbell != null) {
            Doorbell.ring(doorbell);
        }
    }

    // ---- the end

    @Override
    protected void letGo() throws Exception {
        ChannelPromise promise = endConnecting();
        if (promise != null) {
            promise.tryFailure(new ClosedChannelException());
        }
        FdPoll current = socketPoll;
        if (current != null) {
            current.detach();
        }
        closeIfThere(socket);
        closeIfThere(kick);
        closeIfThere(call);
    }

    private static void closeIfThere(@Nullable AutoCloseable resource) throws Exception {
        if (resource != null) {
            resource.close();
        }
    }

    @Override
    @SuppressWarnings("NullAway") // a frontend has no address of its own
    protected SocketAddress localAddress0() {
        return null;
    }

    @Override
    @SuppressWarnings("NullAway") // null before connect, as the contract of Channel allows
    protected SocketAddress remoteAddress0() {
        return remote;
    }
}

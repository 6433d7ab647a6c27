package io.blocktap.transport.loopback;

import io.blocktap.transport.DoorbellChannel;
import io.blocktap.transport.FdPoll;
import io.blocktap.transport.TapException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.FrontRing;
import io.blocktap.transport.ring.RingProtocolException;
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
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The frontend's end of a loopback ring: {@code new Bootstrap().channel(LoopbackFrontendChannel.class).connect(new LoopbackAddress(path))}. Any
 * process that may use the socket can run one.
 *
 * <p>Requests are issued with {@link #issue}; those that the ring has no slot for wait in order. {@link #publish} shows them to blocktap; issue a
 * batch, then publish once. {@link LoopbackFrontend} is the comfortable way to use it.
 *
 * <p>Threads: the channel's event loop, for everything but the {@code Channel} methods.
 */
public final class LoopbackFrontendChannel extends DoorbellChannel {
    /** Most rounds in which responses are taken before other channels of the loop get their turn. */
    private static final int ROUNDS_PER_TURN = 64;

    /** ABI of the ring; set before connecting. */
    private final BlkifLayout layout;

    private final int ringPages;
    private final int dataPages;
    private final List<FrontRequest> requests = new ArrayList<>();
    private final ArrayDeque<FrontRequest> waiting = new ArrayDeque<>();
    private final List<Runnable> geometryListeners = new ArrayList<>();
    private @Nullable SeqPacketSocket socket;
    private @Nullable FdPoll socketPoll;
    private @Nullable ChannelPromise connecting;
    private @Nullable Future<?> connectTimeout;
    private @Nullable LoopbackAddress remote;
    private @Nullable MappedRegion region;
    private @Nullable FrontRing ring;
    private @Nullable Fd kick;
    private @Nullable Fd call;
    private @Nullable LoopbackGeometry geometry;
    private int nextPage;

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
        super(null);
        this.layout = layout;
        this.ringPages = ringPages;
        this.dataPages = dataPages;
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
        ByteBuffer hello = Handshake.hello(new Handshake.Hello(layout, ringPages, dataPages, address.diskName()));
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
                case Handshake.GEOMETRY -> {
                    geometry = Handshake.parseGeometry(data);
                    geometryListeners.forEach(Runnable::run);
                }
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
            geometry = Handshake.parseGeometry(data);
            if (Handshake.dataPages(data) != dataPages) {
                throw new TapException(
                        Handshake.dataPages(data) + " data pages were given, " + dataPages + " were asked for");
            }
            MappedRegion mapped = MappedRegion.shared(memory, (ringPages + dataPages) * Blkif.PAGE_BYTES);
            region = mapped;
            ring = new FrontRing(mapped.view(), layout, ringPages);
            nextPage = ringPages;
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

    // ---- issuing

    /** Returns what the disk looks like now; once connected. */
    public LoopbackGeometry geometry() {
        return java.util.Objects.requireNonNull(geometry, "not connected");
    }

    /** Calls the task on the loop after each change of the geometry. */
    public void onGeometryChange(Runnable task) {
        geometryListeners.add(task);
    }

    private FrontRing ring() {
        return java.util.Objects.requireNonNull(ring, "not connected");
    }

    /** Returns the number of slots of the ring; once connected. */
    public int slots() {
        return ring().slots();
    }

    /** Returns how many requests were issued and have not ended, waiting ones included. */
    public int outstanding() {
        return (ring == null ? 0 : ring().inFlight()) + waiting.size();
    }

    /** Returns the most segments of one request: what the disk allows, as far as one indirect page describes it. */
    int maxSegments() {
        int indirect = Math.min(geometry().maxIndirectSegments(), Blkif.SEGMENTS_PER_INDIRECT_PAGE);
        return Math.max(Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST, indirect);
    }

    /**
     * Makes a request with data pages of its own, for as long as the channel lives.
     *
     * @param maxBytes most data that it will carry: up to 44 KiB, or, if the disk has indirect requests, 4 KiB times their segments; 0
     *     for flushes and discards
     * @throws IllegalStateException if the shared memory has no pages left
     */
    public FrontRequest newRequest(int maxBytes) {
        int pages = (maxBytes + Blkif.PAGE_BYTES - 1) / Blkif.PAGE_BYTES;
        int most = maxSegments();
        boolean indirect = pages > Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST;
        if (pages > most) {
            throw new IllegalArgumentException(
                    maxBytes + " bytes; this disk takes at most " + most * Blkif.PAGE_BYTES + " in a request");
        }
        int needed = pages + (indirect ? 1 : 0);
        if (nextPage + needed > ringPages + dataPages) {
            throw new IllegalStateException("all " + dataPages + " data pages are taken; connect with more");
        }
        MappedRegion mapped = java.util.Objects.requireNonNull(region);
        RegionBuf data = new RegionBuf(mapped, nextPage * Blkif.PAGE_BYTES, maxBytes);
        FrontRequest request =
                new FrontRequest(requests.size(), nextPage, pages, indirect ? nextPage + pages : -1, data);
        nextPage += needed;
        requests.add(request);
        return request;
    }

    /**
     * Issues a request that was {@linkplain FrontRequest#describe described}. It goes into the ring now or, if that is full, as soon as a slot is free.
     *
     * @param listener told when it has ended
     */
    public void issue(FrontRequest request, FrontRequest.Listener listener) {
        if (request.inFlight) {
            throw new IllegalStateException("in flight");
        }
        if (request.operation <= Blkif.BLKIF_OP_WRITE && request.sectors > request.pages * Blkif.SECTORS_PER_PAGE) {
            throw new IllegalArgumentException(request.sectors + " sectors in " + request.pages + " pages");
        }
        request.inFlight = true;
        request.listener = listener;
        if (!isActive()) {
            end(request, FrontRequest.CONNECTION_LOST);
        } else if (ring().free() > 0 && waiting.isEmpty()) {
            put(request);
        } else {
            waiting.add(request);
        }
    }

    private void put(FrontRequest request) {
        FrontRing current = ring();
        ByteBuffer memory = current.memory();
        int slot = current.put();
        memory.put(slot + BlkifLayout.OPERATION, (byte) request.operation);
        memory.putLong(slot + layout.id(), request.index);
        memory.putLong(slot + layout.sectorNumber(), request.sector);
        if (request.operation == Blkif.BLKIF_OP_DISCARD) {
            memory.put(slot + BlkifLayout.DISCARD_FLAG, (byte) 0);
            memory.putLong(slot + layout.discardNrSectors(), request.sectors);
            return;
        }
        int segments = (request.sectors + Blkif.SECTORS_PER_PAGE - 1) / Blkif.SECTORS_PER_PAGE;
        if (segments <= Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST) {
            memory.put(slot + BlkifLayout.NR_SEGMENTS, (byte) segments);
            memory.putShort(slot + BlkifLayout.HANDLE, (short) 0);
            putSegments(request, slot + layout.segment(0), segments);
        } else {
            memory.put(slot + BlkifLayout.OPERATION, (byte) Blkif.BLKIF_OP_INDIRECT);
            memory.put(slot + BlkifLayout.INDIRECT_OP, (byte) request.operation);
            memory.putShort(slot + BlkifLayout.INDIRECT_NR_SEGMENTS, (short) segments);
            memory.putShort(slot + layout.indirectHandle(), (short) 0);
            memory.putInt(slot + layout.indirectGref(0), request.indirectPage);
            putSegments(request, request.indirectPage * Blkif.PAGE_BYTES, segments);
        }
    }

    private void putSegments(FrontRequest request, int offset, int segments) {
        ByteBuffer memory = ring().memory();
        int left = request.sectors;
        for (int i = 0; i < segments; i++) {
            int at = offset + i * BlkifLayout.SEGMENT_BYTES;
            memory.putInt(at + BlkifLayout.SEGMENT_GREF, request.firstPage + i);
            memory.put(at + BlkifLayout.SEGMENT_FIRST_SECT, (byte) 0);
            memory.put(at + BlkifLayout.SEGMENT_LAST_SECT, (byte) (Math.min(left, Blkif.SECTORS_PER_PAGE) - 1));
            left -= Blkif.SECTORS_PER_PAGE;
        }
    }

    /** Shows blocktap what was issued, and rings its doorbell if it asked for it. */
    public void publish() {
        FrontRing current = ring;
        Fd doorbell = kick;
        if (current != null && doorbell != null && isActive() && current.publish()) {
            Doorbell.ring(doorbell);
        }
    }

    // ---- responses

    @Override
    protected boolean takeAll() {
        FrontRing current = ring;
        if (current == null) {
            return false;
        }
        try {
            for (int round = 0; round < ROUNDS_PER_TURN; round++) {
                int slot;
                // A listener may close the channel, and the ring's memory is gone then.
                while (isActive() && (slot = current.take()) >= 0) {
                    ended(current.memory(), slot);
                }
                while (isActive() && !waiting.isEmpty() && current.free() > 0) {
                    put(waiting.remove());
                }
                publish();
                pipeline().fireChannelReadComplete();
                if (!isActive() || !current.arm()) {
                    return false;
                }
            }
            return true;
        } catch (RingProtocolException e) {
            pipeline().fireExceptionCaught(e);
            close();
            return false;
        }
    }

    private void ended(ByteBuffer memory, int slot) {
        long id = memory.getLong(slot + BlkifLayout.RESPONSE_ID);
        int operation = memory.get(slot + BlkifLayout.RESPONSE_OPERATION) & 0xff;
        int status = memory.getShort(slot + BlkifLayout.RESPONSE_STATUS);
        FrontRequest request = id >= 0 && id < requests.size() ? requests.get((int) id) : null;
        if (request == null || !request.inFlight || operation != request.operation) {
            throw new RingProtocolException("response " + id + " for operation " + operation + " answers no request");
        }
        end(request, status);
    }

    private void end(FrontRequest request, int status) {
        request.inFlight = false;
        try {
            request.listener.ended(request, status);
        } catch (RuntimeException e) {
            pipeline().fireExceptionCaught(e); // the other requests' responses must not be lost with it
        }
    }

    // ---- the end

    @Override
    protected void doClose() throws Exception {
        super.doClose();
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
        waiting.clear();
        for (FrontRequest request : List.copyOf(requests)) {
            if (request.inFlight) {
                end(request, FrontRequest.CONNECTION_LOST);
            }
        }
        MappedRegion mapped = region;
        region = null;
        ring = null;
        if (mapped != null) {
            requests.forEach(request -> request.data().pointNowhere());
            mapped.release();
        }
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

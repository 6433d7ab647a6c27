package io.blocktap.transport.loopback;

import io.blocktap.transport.FdPoll;
import io.blocktap.transport.GuestCopies;
import io.blocktap.transport.GuestMemory;
import io.blocktap.transport.TapChannel;
import io.blocktap.transport.frontend.FrontGeometry;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.ring.BackRing;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.FrontRing;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.blocktap.transport.sys.SeqPacketSocket;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelPromise;
import io.netty.util.concurrent.Future;
import java.net.SocketAddress;
import java.nio.channels.ClosedChannelException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * blocktap's end of one loopback frontend: the ring in a memfd, the two eventfds, and the socket whose end is the session's end.
 *
 * <p>Its initializer must {@link #welcome} or {@link #refuse} the frontend. Threads: the channel's event loop.
 */
public final class LoopbackTapChannel extends TapChannel {
    private static final Logger LOG = LoggerFactory.getLogger(LoopbackTapChannel.class);

    private final SeqPacketSocket socket;
    private final Handshake.Hello hello;
    private final Fd memory;
    private final MappedRegion region;
    private final Fd kick;
    private final Fd call;
    private final LoopbackMemory guest;
    private @Nullable FdPoll socketPoll;
    private boolean welcomed;

    private LoopbackTapChannel(
            Channel parent,
            SeqPacketSocket socket,
            Handshake.Hello hello,
            Fd memory,
            MappedRegion region,
            Fd kick,
            Fd call) {
        super(parent, new BackRing(region.view(), hello.layout(), hello.ringPages()));
        this.socket = socket;
        this.hello = hello;
        this.memory = memory;
        this.region = region;
        this.kick = kick;
        this.call = call;
        this.guest = new LoopbackMemory(region, hello.ringPages());
    }

    /** Makes the shared memory and the doorbells of a frontend that has said HELLO; takes over its socket. */
    static LoopbackTapChannel create(Channel parent, SeqPacketSocket socket, Handshake.Hello hello)
            throws NativeException {
        Fd memory = Libc.memoryFile("blocktap-ring", hello.regionBytes());
        Fd kick = null;
        Fd call = null;
        MappedRegion region = null;
        try {
            kick = Libc.eventFd();
            call = Libc.eventFd();
            region = MappedRegion.shared(memory, hello.regionBytes());
            FrontRing.initialise(region.view());
            return new LoopbackTapChannel(parent, socket, hello, memory, region, kick, call);
        } catch (NativeException | RuntimeException e) {
            memory.close();
            if (kick != null) {
                kick.close();
            }
            if (call != null) {
                call.close();
            }
            if (region != null) {
                region.release();
            }
            throw e;
        }
    }

    /** Returns the name of the disk that the frontend asks for; empty for the default disk. */
    public String diskName() {
        return hello.diskName();
    }

    /** Lets the frontend in: hands it the shared memory. Requests follow. On the loop, once. */
    public void welcome(FrontGeometry geometry) {
        if (!isOpen()) {
            return; // it went away meanwhile
        }
        try {
            int dataPages = hello.dataPages();
            socket.send(Handshake.geometry(Handshake.WELCOME, geometry, dataPages), memory, kick, call);
            welcomed = true;
            memory.close(); // mapped here, handed over there
        } catch (NativeException e) {
            LOG.debug("{}: the frontend went away before its welcome: {}", this, e.getMessage());
            close();
        }
    }

    /** Sends the frontend away, with a reason for its user, and closes the channel. On the loop. */
    public void refuse(String reason) {
        if (!isOpen()) {
            return;
        }
        try {
            socket.send(Handshake.refused(reason));
        } catch (NativeException e) {
            LOG.debug("{}: the frontend went away before it was refused: {}", this, e.getMessage());
        }
        close();
    }

    /** Tells the frontend that the disk has changed. On the loop. */
    public void tellGeometry(FrontGeometry geometry) {
        if (!welcomed || !isOpen()) {
            return;
        }
        try {
            socket.send(Handshake.geometry(Handshake.GEOMETRY, geometry, hello.dataPages()));
        } catch (NativeException e) {
            LOG.warn("{}: the frontend was not told of its new geometry: {}", this, e.getMessage());
        }
    }

    @Override
    public GuestMemory memory() {
        return guest;
    }

    @Override
    protected void notifyFrontend() {
        int result = Doorbell.ring(call);
        // EAGAIN: the counter is at its limit, so the frontend has a ring to hear still.
        if (result < 0 && result != -Errno.EAGAIN) {
            LOG.warn("{}: the doorbell failed: {}", this, Errno.describe(-result));
        }
    }

    @Override
    protected void doRegister(ChannelPromise promise) {
        FdPoll.attach(eventLoop(), socket.fd(), FdPoll.IN | FdPoll.RDHUP, events -> socketReady())
                .addListener((Future<FdPoll> future) -> {
                    if (!future.isSuccess()) {
                        promise.setFailure(future.cause());
                        return;
                    }
                    if (!isOpen()) {
                        future.getNow().detach();
                        promise.setFailure(new ClosedChannelException());
                        return;
                    }
                    socketPoll = future.getNow();
                    watchThen(kick, promise);
                    socketReady();
                });
    }

    private void socketReady() {
        try {
            SeqPacketSocket.Packet packet;
            while (isOpen() && (packet = socket.receive()) != null) {
                packet.fds().forEach(Fd::close);
                if (packet.data().limit() > 0) {
                    LOG.warn("{}: closed: the frontend sent a message after HELLO", this);
                }
                close();
            }
        } catch (NativeException e) {
            LOG.debug("{}: {}", this, e.getMessage());
            close();
        }
    }

    @Override
    protected void doClose() throws Exception {
        if (!isOpen()) {
            return; // a failed registration closes twice
        }
        super.doClose();
        FdPoll current = socketPoll;
        if (current != null) {
            current.detach();
        }
        socket.close();
        memory.close();
        kick.close();
        call.close();
        guest.closed = true;
        // Requests in flight hold references of their own.
        region.release();
    }

    @Override
    protected SocketAddress localAddress0() {
        return parent().localAddress();
    }

    @Override
    protected SocketAddress remoteAddress0() {
        return new LoopbackAddress("frontend", hello.diskName());
    }

    /** The data pages: the memfd from the end of the ring on. A grant reference is a page's number in it. */
    private static final class LoopbackMemory implements GuestMemory {
        private final MappedRegion mapping;
        private final int ringPages;
        private final int allPages;
        private final RegionBuf all;
        private final Copies fromGuest = new Copies(false);
        private final Copies toGuest = new Copies(true);
        private boolean closed;

        LoopbackMemory(MappedRegion mapping, int ringPages) {
            this.mapping = mapping;
            this.ringPages = ringPages;
            this.allPages = mapping.sizeBytes() / Blkif.PAGE_BYTES;
            this.all = new RegionBuf(mapping, 0, mapping.sizeBytes());
        }

        @Override
        public boolean isValid(int gref) {
            return gref >= ringPages && gref < allPages;
        }

        @Override
        public MappedRegion region() {
            return mapping;
        }

        @Override
        public GuestCopies copiesFromGuest() {
            return fromGuest;
        }

        @Override
        public GuestCopies copiesToGuest() {
            return toGuest;
        }

        /** Copies at once: it costs no more than noting it. */
        private final class Copies implements GuestCopies {
            private final boolean toGuest;
            private int count;
            private int firstFailed = Integer.MAX_VALUE;

            Copies(boolean toGuest) {
                this.toGuest = toGuest;
            }

            @Override
            public void add(int gref, int pageOffset, int length, ByteBuf ours, int index) {
                int at = gref * Blkif.PAGE_BYTES + pageOffset;
                if (closed) {
                    // A request that ends after its ring: the pages may be unmapped.
                    firstFailed = Math.min(firstFailed, count);
                } else if (toGuest) {
                    all.setBytes(at, ours, index, length);
                } else {
                    all.getBytes(at, ours, index, length);
                }
                count++;
            }

            @Override
            public int count() {
                return count;
            }

            @Override
            public void run() {
                // done
            }

            @Override
            public boolean areDone(int from, int to) {
                return to <= firstFailed; // once closed, all fail
            }

            @Override
            public void clear() {
                count = 0;
                firstFailed = Integer.MAX_VALUE;
            }
        }
    }
}

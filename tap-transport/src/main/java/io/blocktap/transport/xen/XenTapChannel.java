package io.blocktap.transport.xen;

import io.blocktap.transport.GuestCopies;
import io.blocktap.transport.GuestMemory;
import io.blocktap.transport.TapChannel;
import io.blocktap.transport.TapException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.ring.BackRing;
import io.blocktap.transport.ring.RingProtocolException;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.NativeException;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelPromise;
import java.net.SocketAddress;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One ring of a guest's disk: its pages mapped through gntdev, its doorbell an event channel, its data moved by grant copy, one ioctl a direction and turn.
 *
 * <p>Closing it lets go of the ring and the port; xenstore is others' work. Threads: the event loop of the event channels.
 */
public final class XenTapChannel extends TapChannel {
    private static final Logger LOG = LoggerFactory.getLogger(XenTapChannel.class);
    /** The codec stages about half as many before it copies, and one request more. */
    private static final int MOST_COPIES = 4096;

    private final XenAddress address;
    private final EventChannels events;
    private final int remotePort;
    private final GrantedPages pages;
    private final XenMemory memory;
    private @Nullable RingDoorbell doorbell;
    private final @Nullable RingTable table;
    private int port = -1;
    private boolean notifyFailed;

    private XenTapChannel(
            XenAddress address,
            XenRing ring,
            EventChannels events,
            GrantedPages pages,
            XenMemory memory,
            @Nullable RingTable table) {
        super(
                null,
                table == null
                        ? new BackRing(pages.view(), ring.layout(), ring.grefs().size())
                        : new BackRing(pages.view(), ring.layout(), ring.grefs().size(), table.table()));
        this.address = address;
        this.events = events;
        this.remotePort = ring.eventChannel();
        this.pages = pages;
        this.memory = memory;
        this.table = table;
    }

    /**
     * Maps a ring; it is served once the channel is registered with the loop of the event channels. If a backend before us has served the ring, it goes on where that one
     * stopped: with what that one had in flight, if it was killed.
     *
     * @param grants stays owned by the caller, and open as long as the channel
     * @param tables where its table of requests in flight is kept; without, what is in flight is lost when this process is killed
     * @throws TapException if the ring can not be mapped, its indexes contradict each other, or what was in flight is not known
     */
    public static XenTapChannel map(
            XenAddress address, XenRing ring, GrantDevice grants, EventChannels events, @Nullable RingTables tables)
            throws TapException {
        GrantedPages pages = grants.map(
                address.domid(),
                ring.grefs().stream().mapToInt(Integer::intValue).toArray());
        XenMemory memory = null;
        RingTable table = null;
        boolean isMapped = false;
        try {
            memory = new XenMemory(address.domid(), grants);
            if (tables != null) {
                table = RingTable.attach(
                        tables, address, ring.layout(), ring.grefs().size(), pages.view());
            }
            XenTapChannel channel = new XenTapChannel(address, ring, events, pages, memory, table);
            isMapped = true;
            return channel;
        } catch (NativeException | RingProtocolException e) {
            throw new TapException(address + ": " + e.getMessage(), e);
        } finally {
            if (!isMapped) {
                if (table != null) {
                    table.close();
                }
                if (memory != null) {
                    memory.close();
                }
                pages.close();
            }
        }
    }

    /** Returns whether it goes on with the table of requests in flight of a backend that was killed. */
    public boolean isTakenOver() {
        return table != null && table.isTakenOver();
    }

    /** Returns how many requests of an earlier backend are done again. */
    public int redoCount() {
        return table == null ? 0 : table.table().redoCount();
    }

    @Override
    public GuestMemory memory() {
        return memory;
    }

    @Override
    protected void doRegister(ChannelPromise promise) {
        try {
            // It rings once at once: what the frontend put in before is taken then.
            doorbell = new RingDoorbell(events, eventLoop(), ring()::taken, this::lookNow);
            port = events.bindInterdomain(address.domid(), remotePort, doorbell);
            setActive(true);
            notifyFrontend(); // what an earlier backend has published and not rung for
            promise.setSuccess();
        } catch (TapException e) {
            promise.setFailure(e);
        }
    }

    @Override
    protected void notifyFrontend() {
        int result = events.notify(port);
        if (result < 0 && !notifyFailed) {
            notifyFailed = true;
            LOG.warn("{}: the frontend can not be notified: {}", this, Errno.describe(-result));
        }
    }

    @Override
    protected void doClose() throws Exception {
        if (!isOpen()) {
            return; // a failed registration closes twice
        }
        super.doClose();
        if (doorbell != null) {
            doorbell.close();
        }
        if (port >= 0) {
            events.close(port);
        }
        memory.close();
        if (table != null) {
            table.end(pages.view());
        }
        pages.close();
    }

    @Override
    protected SocketAddress localAddress0() {
        return address;
    }

    @Override
    protected SocketAddress remoteAddress0() {
        return address;
    }

    /** A guest's pages, by grant copy. Whether a grant is good shows when it is copied. */
    private static final class XenMemory implements GuestMemory, AutoCloseable {
        private final Copies fromGuest;
        private final Copies toGuest;

        XenMemory(int domid, GrantDevice grants) throws NativeException {
            fromGuest = new Copies(domid, GrantCopy.fromGuest(grants, MOST_COPIES));
            try {
                toGuest = new Copies(domid, GrantCopy.toGuest(grants, MOST_COPIES));
            } catch (NativeException e) {
                fromGuest.close();
                throw e;
            }
        }

        @Override
        public boolean isValid(int gref) {
            return true;
        }

        @Override
        public @Nullable MappedRegion region() {
            return null;
        }

        @Override
        public GuestCopies copiesFromGuest() {
            return fromGuest;
        }

        @Override
        public GuestCopies copiesToGuest() {
            return toGuest;
        }

        @Override
        public void close() {
            fromGuest.close();
            toGuest.close();
        }
    }

    /** One direction. */
    private static final class Copies implements GuestCopies, AutoCloseable {
        private final int domid;
        private final GrantCopy copy;
        private boolean complained;
        private boolean closed;

        Copies(int domid, GrantCopy copy) {
            this.domid = domid;
            this.copy = copy;
        }

        @Override
        public void add(int gref, int pageOffset, int length, ByteBuf ours, int index) {
            if (!closed && copy.add(domid, gref, pageOffset, length, ours.memoryAddress() + index) < 0) {
                throw new IllegalStateException("more than " + MOST_COPIES + " copies in one batch");
            }
        }

        @Override
        public int count() {
            return copy.count();
        }

        @Override
        public void run() {
            if (closed) {
                return;
            }
            int result = copy.run();
            if (result < 0 && !complained) {
                complained = true;
                LOG.error("domain {}: grant copy failed: {}", domid, Errno.describe(-result));
            }
        }

        @Override
        public boolean areDone(int from, int to) {
            if (closed) {
                return false;
            }
            for (int i = from; i < to; i++) {
                int status = copy.status(i);
                if (status != GrantCopy.OKAY) {
                    if (!complained) {
                        complained = true;
                        LOG.warn("domain {}: a page can not be copied: {}", domid, GrantCopy.describe(status));
                    }
                    return false;
                }
            }
            return true;
        }

        @Override
        public void clear() {
            if (!closed) {
                copy.clear();
            }
        }

        @Override
        public void close() {
            if (!closed) {
                closed = true;
                copy.close();
            }
        }
    }
}

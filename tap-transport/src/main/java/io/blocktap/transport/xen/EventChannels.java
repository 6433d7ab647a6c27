package io.blocktap.transport.xen;

import io.blocktap.transport.FdPoll;
import io.blocktap.transport.TapException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.netty.channel.EventLoop;
import io.netty.util.concurrent.Future;
import io.netty.util.concurrent.ImmediateEventExecutor;
import io.netty.util.concurrent.Promise;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The event channels of one event loop, all over one descriptor of {@code /dev/xen/evtchn}.
 *
 * <p>A turn: read all ports that rang, run their listeners, and only then unmask them, all in one write (per 1024). A port is masked from its delivery on, and
 * what rings meanwhile is latched: so a ring that is drained by its listener costs no second wake-up, and loses nothing. The write is also what Xen calls the
 * late end of interrupt (XSA-332): {@link #keepMasked} puts it off, which is how a frontend that rings without end is slowed down.
 *
 * <p>Threads: the event loop, but for {@link #open} and {@link #close}. In steady state nothing is allocated. Ownership: the descriptor is closed by {@link
 * #close}, or with the loop; the other ends then can be bound again.
 */
public final class EventChannels {
    /** Hears that a port rang. */
    @FunctionalInterface
    public interface Listener {
        /**
         * Called on the event loop; also once right after binding to a guest's port, and now and then though nobody rang. What it throws is logged,
         * and nothing else happens.
         */
        void rang(int port);
    }

    private static final Logger LOG = LoggerFactory.getLogger(EventChannels.class);
    private static final int FIRST_CAPACITY = EvtchnLayout.MAX_TRANSFER_BYTES / EvtchnLayout.PORT_BYTES;
    /**
     * The driver rings a reader only when it finds its queue empty, and looks at the reader's index before it stores its own, without a lock: a processor that
     * was stopped in between (a virtual one may be, for long) leaves a queue that is not empty and never rings again. (drivers/xen/evtchn.c,
     * evtchn_interrupt.) So look by ourselves, rarely.
     */
    private static final int LOOK_ANYWAY_SECONDS = 1;

    private final EventLoop loop;
    private final EventDevice device;
    private final PortTable table = new PortTable();
    private final ByteBuffer single =
            ByteBuffer.allocateDirect(EvtchnLayout.PORT_BYTES).order(ByteOrder.nativeOrder());
    private final long singleAddress = Libc.addressOf(single);
    private MappedRegion delivered;
    private int capacity = FIRST_CAPACITY;
    private int count;
    private @Nullable FdPoll poll;
    private @Nullable Future<?> lookAnyway;
    private boolean isToldAgain;
    private boolean overflowTold;
    private boolean failureTold;
    private boolean closed;

    private EventChannels(EventLoop loop, EventDevice device) throws NativeException {
        this.loop = loop;
        this.device = device;
        this.delivered = MappedRegion.anonymous(capacity * EvtchnLayout.PORT_BYTES);
    }

    /**
     * Opens a descriptor for a loop. Any thread.
     *
     * @param loop see {@link FdPoll#isCompatible}
     * @return completes on the loop; fails with a {@link TapException} that says what is missing
     */
    public static Future<EventChannels> open(EventLoop loop, XenDevices devices) {
        try {
            return open(loop, EvtchnDevice.open(devices));
        } catch (TapException e) {
            return loop.newFailedFuture(e);
        }
    }

    /** Takes over the device. */
    static Future<EventChannels> open(EventLoop loop, EventDevice device) {
        EventChannels channels;
        try {
            channels = new EventChannels(loop, device);
        } catch (NativeException e) {
            device.close();
            return loop.newFailedFuture(e);
        }
        Promise<EventChannels> result = loop.newPromise();
        FdPoll.attach(
                        loop,
                        device.fd(),
                        FdPoll.IN,
                        FdPoll.Trigger.LEVEL,
                        events -> channels.takeAll(),
                        channels::closeInLoop)
                .addListener((Future<FdPoll> attached) -> {
                    if (attached.isSuccess()) {
                        channels.attached(attached.getNow());
                        result.setSuccess(channels);
                    } else {
                        channels.closeInLoop();
                        result.setFailure(attached.cause());
                    }
                });
        return result;
    }

    private void attached(FdPoll newPoll) {
        poll = newPoll;
        isToldAgain = newPoll.isLevelTriggered();
        lookAnyway =
                loop.scheduleWithFixedDelay(this::takeAll, LOOK_ANYWAY_SECONDS, LOOK_ANYWAY_SECONDS, TimeUnit.SECONDS);
    }

    // ---- ports

    /**
     * Binds to a port that a domain has offered to ours. Its listener is called once right away: Xen can not tell whether the peer rang before.
     *
     * @return the local port
     * @throws TapException if the port is not offered to us, or is bound already
     */
    public int bindInterdomain(int domid, int remotePort, Listener listener) throws TapException {
        checkOpen();
        int port = device.bindInterdomain(domid, remotePort);
        if (port < 0) {
            throw new TapException("event channel " + remotePort + " of domain " + domid + " can not be bound: "
                    + Errno.describe(-port)
                    + (port == -Errno.EINVAL ? "; it is not offered to this domain, or is bound already" : ""));
        }
        return bound(port, listener);
    }

    /**
     * Offers a new port to a domain, which may bind to it.
     *
     * @return the port, to be told to the peer
     */
    public int bindUnbound(int domid, Listener listener) throws TapException {
        checkOpen();
        int port = device.bindUnbound(domid);
        if (port < 0) {
            throw new TapException("no event channel can be offered to domain " + domid + ": " + Errno.describe(-port));
        }
        return bound(port, listener);
    }

    private void checkOpen() throws TapException {
        assert loop.inEventLoop();
        if (closed) {
            throw new TapException("the event channels of this loop are closed");
        }
    }

    private int bound(int port, Listener listener) throws TapException {
        try {
            // Twice the room that all ports need at once: a number that was closed and given out anew can be in the
            // queue twice.
            if (2 * (table.bound() + 1) > capacity) {
                grow();
            }
            table.put(port, listener);
            return port;
        } catch (NativeException e) {
            device.unbind(port);
            throw new TapException("event channel " + port + ": " + e.getMessage(), e);
        }
    }

    /** A listener may bind more ports while its own batch is under way, so what was delivered is kept. */
    private void grow() throws NativeException {
        MappedRegion larger = MappedRegion.anonymous(2 * capacity * EvtchnLayout.PORT_BYTES);
        larger.view().put(0, delivered.view(), 0, capacity * EvtchnLayout.PORT_BYTES);
        delivered.release();
        delivered = larger;
        capacity *= 2;
    }

    /**
     * Rings the other end of a port. That it is gone is not an error: a peer that died is silent.
     *
     * @return 0 or {@code -errno}: {@code -ENOTCONN} if the port is not bound here (any more)
     */
    public int notify(int port) {
        assert loop.inEventLoop();
        return closed ? -Errno.ENOTCONN : device.notifyPort(port);
    }

    /** Gives a port back; its listener is not called any more. Once for each binding: the number may be given out anew. */
    public void close(int port) {
        assert loop.inEventLoop();
        if (closed || !table.isBound(port)) {
            return;
        }
        table.remove(port);
        int result = device.unbind(port);
        if (result < 0) {
            LOG.warn("event channel {} can not be given back: {}", port, Errno.describe(-result));
        }
    }

    /** Returns how many ports are bound. */
    public int boundPorts() {
        assert loop.inEventLoop();
        return table.bound();
    }

    // ---- throttling

    /**
     * Leaves a port masked after this batch, until {@link #unmask}: to be called by its listener. Rings are latched meanwhile.
     *
     * @throws IllegalStateException if the port has not just rung
     */
    public void keepMasked(int port) {
        assert loop.inEventLoop();
        if (!closed && !table.hold(port)) {
            throw new IllegalStateException(
                    "event channel " + port + " is not being handled; only its listener can keep it masked");
        }
    }

    /** Unmasks a port that was kept masked; a latched ring is delivered then. No effect on others. */
    public void unmask(int port) {
        assert loop.inEventLoop();
        if (!closed && table.unhold(port)) {
            single.putInt(0, port);
            write(singleAddress, EvtchnLayout.PORT_BYTES);
        }
    }

    // ---- a turn

    private void takeAll() {
        try {
            boolean more = true;
            while (more && !closed) {
                more = takeBatch();
                deliver();
            }
        } catch (RuntimeException e) {
            LOG.error("event channels: a turn failed", e); // never out of here: the loop would sleep for a second
            count = 0;
        }
    }

    /**
     * Reads what is in the queue. A read that gave less than was asked for is the last where the loop looks again before it sleeps, which saves one system call of seven with
     * one request on its way. Where it does not, only a read that gave nothing is: a port that comes in the last moment of a read is not announced.
     *
     * @return whether more may wait, for which there was no room
     */
    private boolean takeBatch() {
        while (count < capacity) {
            int room = Math.min((capacity - count) * EvtchnLayout.PORT_BYTES, EvtchnLayout.MAX_TRANSFER_BYTES);
            int result = device.read(delivered.address() + (long) count * EvtchnLayout.PORT_BYTES, room);
            if (result > 0) {
                count += result / EvtchnLayout.PORT_BYTES;
                if (isToldAgain && result < room) {
                    return false;
                }
            } else if (result == -Errno.EFBIG) {
                recoverFromOverflow();
                return false; // what rings from here on finds an empty queue
            } else if (result != -Errno.EINTR) {
                if (result != -Errno.EAGAIN) {
                    failed("read", result);
                }
                return false;
            }
        }
        return true;
    }

    /** Ports got lost in the kernel, all of which are masked now: take every port as rung. */
    private void recoverFromOverflow() {
        if (!overflowTold) {
            overflowTold = true;
            LOG.error("the kernel's queue of event channels overflowed; looking at all {} of them", table.bound());
        }
        // Before the listeners: what rings from here on is delivered anew.
        int result = device.reset();
        if (result < 0) {
            failed("RESET", result);
            count = 0;
            return;
        }
        count = 0;
        int end = table.end();
        for (int port = 0; port < end; port++) {
            if (table.isBound(port)) {
                putDelivered(count++, port);
            }
        }
    }

    private void deliver() {
        for (int i = 0; i < count && !closed; i++) {
            int port = delivered(i);
            Listener listener = table.rung(port);
            if (listener != null) {
                tell(listener, port);
            }
        }
        if (!closed) {
            unmaskDelivered();
        }
        count = 0;
    }

    private static void tell(Listener listener, int port) {
        try {
            listener.rang(port);
        } catch (Throwable t) {
            LOG.error("listener of event channel {} failed", port, t);
        }
    }

    private void unmaskDelivered() {
        int unmasked = 0;
        for (int i = 0; i < count; i++) {
            int port = delivered(i);
            if (table.unmask(port)) {
                putDelivered(unmasked++, port);
            }
        }
        int lengthBytes = unmasked * EvtchnLayout.PORT_BYTES;
        for (int at = 0; at < lengthBytes; at += EvtchnLayout.MAX_TRANSFER_BYTES) {
            write(delivered.address() + at, Math.min(lengthBytes - at, EvtchnLayout.MAX_TRANSFER_BYTES));
        }
    }

    private void write(long address, int lengthBytes) {
        int result = device.write(address, lengthBytes);
        if (result != lengthBytes) {
            tellFailure("write", result);
        }
    }

    private int delivered(int index) {
        return delivered.view().getInt(index * EvtchnLayout.PORT_BYTES);
    }

    private void putDelivered(int index, int port) {
        delivered.view().putInt(index * EvtchnLayout.PORT_BYTES, port);
    }

    /** What can not be taken stays there, and would be told without end; the timer goes on looking. */
    private void failed(String call, int result) {
        tellFailure(call, result);
        if (poll != null) {
            poll.detach();
        }
    }

    private void tellFailure(String call, int result) {
        if (!failureTold) {
            failureTold = true;
            LOG.error("event channels: {} failed: {}", call, result < 0 ? Errno.describe(-result) : result + " bytes");
        }
    }

    // ---- end

    /**
     * Closes all ports and the descriptor. Any thread, more than once.
     *
     * @return completes when no listener is called any more and the descriptor is closed
     */
    public Future<Void> close() {
        if (loop.inEventLoop()) {
            closeInLoop();
            return loop.newSucceededFuture(null);
        }
        Promise<Void> result = loop.newPromise();
        try {
            loop.execute(() -> {
                closeInLoop();
                result.setSuccess(null);
            });
            return result;
        } catch (RejectedExecutionException e) {
            return ImmediateEventExecutor.INSTANCE.newSucceededFuture(null); // the loop has ended, and closed this
        }
    }

    private void closeInLoop() {
        if (closed) {
            return;
        }
        closed = true;
        if (lookAnyway != null) {
            lookAnyway.cancel(false);
        }
        if (poll != null) {
            poll.detach();
        }
        device.close();
        table.clear();
        delivered.release();
    }
}

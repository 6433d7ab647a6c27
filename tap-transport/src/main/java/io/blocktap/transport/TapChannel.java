package io.blocktap.transport;

import io.blocktap.transport.ring.BackRing;
import io.blocktap.transport.ring.RingProtocolException;
import io.blocktap.transport.ring.RingSlot;
import io.netty.channel.Channel;
import io.netty.channel.ChannelPromise;
import io.netty.util.concurrent.Future;
import org.jspecify.annotations.Nullable;

/**
 * One ring of one frontend as a Netty channel.
 *
 * <p>Inbound, each request fires one {@link RingSlot}: a private copy, the same object every time, so the first handler (the codec)
 * decodes it before it returns. After the last one of a turn comes one {@code channelReadComplete}. Outbound, the codec puts responses straight into
 * {@link #ring()} and its {@code flush} calls {@link #publish}: one index store and at most one doorbell for all of them. Nothing goes
 * through the outbound buffer.
 *
 * <p>A ring whose frontend breaks the protocol fires {@code exceptionCaught} with a {@link RingProtocolException} and is closed; other channels are not
 * concerned. Threads: the channel's event loop.
 */
public abstract class TapChannel extends DoorbellChannel {
    /** Most slots that are taken before other channels of the loop get their turn. */
    private static final int SLOTS_PER_TURN = 256;

    /** Most looks at the ring in one turn: a frontend that moves its index to and fro could keep the loop for itself. */
    private static final int LOOKS_PER_TURN = 64;

    private final BackRing ring;
    private final RingSlot slot;
    private boolean intakeHeld;
    private boolean stopped;

    /**
     * Makes a channel over an attached ring.
     *
     * @param parent the server channel that accepted it, or null
     */
    protected TapChannel(@Nullable Channel parent, BackRing ring) {
        super(parent);
        this.ring = ring;
        this.slot = new RingSlot(ring.layout());
    }

    /** Returns the ring, for the codec; its memory goes away when the channel closes, so look at {@link #isOpen()} first. */
    public final BackRing ring() {
        return ring;
    }

    /** Returns where the segments of requests point to. */
    public abstract GuestMemory memory();

    /** Notifies the frontend. */
    protected abstract void notifyFrontend();

    /** Shows the frontend the responses put so far, and rings its doorbell if it asked for it. Does nothing when the channel is closed. */
    public final void publish() {
        if (isOpen() && ring.publish()) {
            notifyFrontend();
        }
    }

    /** Takes no more requests until {@link #releaseIntake}: for a codec that must wait for memory or for earlier requests. */
    public final void holdIntake() {
        intakeHeld = true;
    }

    /** Takes requests again. */
    public final void releaseIntake() {
        if (intakeHeld) {
            intakeHeld = false;
            eventLoop().execute(this::lookNow);
        }
    }

    /** Returns whether {@link #stopIntake} was called. */
    public final boolean isIntakeStopped() {
        return stopped;
    }

    /** Takes no more requests for good; responses may still be put and published. */
    public final void stopIntake() {
        stopped = true;
    }

    @Override
    protected final boolean takeAll() {
        try {
            int taken = 0;
            int looks = 0;
            do {
                while (taken < SLOTS_PER_TURN && mayTake() && ring.next(slot)) {
                    taken++;
                    pipeline().fireChannelRead(slot);
                }
                pipeline().fireChannelReadComplete();
                if (intakeHeld || stopped || !isOpen()) {
                    return false; // releaseIntake looks again
                }
                if (!mayRead()) {
                    return true; // the next read() looks again
                }
                if (taken >= SLOTS_PER_TURN || ++looks >= LOOKS_PER_TURN) {
                    return true;
                }
            } while (ring.arm());
            return false;
        } catch (RingProtocolException e) {
            pipeline().fireExceptionCaught(e);
            close();
            return false;
        }
    }

    private boolean mayTake() {
        return !intakeHeld && !stopped && isOpen() && mayRead();
    }

    /** Registers the doorbell. */
    protected final void watchThen(io.blocktap.transport.sys.Fd doorbell, ChannelPromise promise) {
        watch(doorbell).addListener((Future<Object> future) -> {
            if (future.isSuccess()) {
                setActive(true);
                promise.setSuccess();
            } else {
                promise.setFailure(future.cause());
            }
        });
    }
}

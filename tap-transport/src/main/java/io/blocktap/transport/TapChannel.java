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
 * <p>Inbound, each look at the ring fires one {@link RingSlots}: the first handler (the codec) takes the requests that wait out of it, one private copy
 * after another, until there are no more, before it returns. Then comes one {@code channelReadComplete}. Outbound, the codec puts responses straight into
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
    private final Intake intake;
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
        this.intake = new Intake(new RingSlot(ring.layout()));
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
        intake.left = SLOTS_PER_TURN;
        int looks = 0;
        do {
            pipeline().fireChannelRead(intake);
            RingProtocolException violation = intake.violation;
            if (violation != null) {
                intake.violation = null;
                pipeline().fireExceptionCaught(violation);
                close();
                return false;
            }
            pipeline().fireChannelReadComplete();
            if (intakeHeld || stopped || !isOpen()) {
                return false; // releaseIntake looks again
            }
            if (!mayRead()) {
                return true; // the next read() looks again
            }
            if (intake.left <= 0 || ++looks >= LOOKS_PER_TURN) {
                return true;
            }
        } while (ring.arm());
        return false;
    }

    /** The requests of one turn. */
    private final class Intake implements RingSlots {
        private final RingSlot slot;
        private int left;
        private @Nullable RingProtocolException violation;

        Intake(RingSlot slot) {
            this.slot = slot;
        }

        @Override
        public @Nullable RingSlot next() {
            if (left <= 0 || intakeHeld || stopped || !isOpen() || !mayRead()) {
                return null;
            }
            try {
                if (!ring.next(slot)) {
                    return null;
                }
            } catch (RingProtocolException e) {
                // Thrown from here it would be taken for the handler's failure.
                violation = e;
                left = 0;
                return null;
            }
            left--;
            return slot;
        }
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

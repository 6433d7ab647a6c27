package io.blocktap.transport.xen;

import io.netty.channel.EventLoop;
import java.util.concurrent.TimeUnit;
import java.util.function.IntSupplier;

/**
 * Looks at a ring when its event channel rings, and slows down a frontend that rings without putting requests in: after {@value #MOST_USELESS} rings in a row that brought none its
 * port stays masked, and the ring is looked at by a timer, until there is a request again.
 *
 * <p>An honest frontend is never slowed down: it rings for a request, and that request is taken before the next ring counts. Nothing is lost in a pause: what rings is latched, and what
 * is in the ring is taken at its end. Threads: the event loop of the event channels.
 */
final class RingDoorbell implements EventChannels.Listener {
    /** Rings without a request, one after another, that are heard at once. */
    static final int MOST_USELESS = 32;

    /** How long the ring is left alone then. */
    static final long PAUSE_MILLIS = 2;

    private final EventChannels events;
    private final EventLoop loop;
    private final IntSupplier taken;
    private final Runnable look;
    private int takenBefore;
    private int useless;
    private boolean closed;

    /**
     * Makes a listener of one port.
     *
     * @param taken how many requests were taken from the ring, ever; may wrap
     * @param look takes what is in the ring, in so far as that is allowed
     */
    RingDoorbell(EventChannels events, EventLoop loop, IntSupplier taken, Runnable look) {
        this.events = events;
        this.loop = loop;
        this.taken = taken;
        this.look = look;
        this.takenBefore = taken.getAsInt();
    }

    @Override
    public void rang(int port) {
        look.run();
        if (closed || !isTooMuch()) {
            return;
        }
        events.keepMasked(port);
        loop.schedule(() -> resume(port), PAUSE_MILLIS, TimeUnit.MILLISECONDS);
    }

    private boolean isTooMuch() {
        int now = taken.getAsInt();
        useless = now == takenBefore ? Math.min(useless + 1, MOST_USELESS) : 0;
        takenBefore = now;
        return useless == MOST_USELESS;
    }

    private void resume(int port) {
        if (!closed) {
            events.unmask(port);
            look.run(); // after unmasking: what comes from here on rings
        }
    }

    /** Hears nothing more; the port is closed by whoever bound it. */
    void close() {
        closed = true;
    }
}

package io.blocktap.transport;

import io.blocktap.transport.ring.RingSlot;
import org.jspecify.annotations.Nullable;

/**
 * The requests that wait in a ring, as one message of a {@link TapChannel}: one hop through Netty's pipeline for all of them. Whoever receives it takes
 * them before it returns; it is the same object at every look. Threads: the channel's event loop.
 */
public interface RingSlots {
    /**
     * Takes the next request.
     *
     * @return a private copy, valid until the next call; null when none waits, or when no more may be taken now (the budget of the turn is used up, intake is held
     *     or stopped, the channel was closed, auto-read is off, the frontend broke the protocol)
     */
    @Nullable
    RingSlot next();
}

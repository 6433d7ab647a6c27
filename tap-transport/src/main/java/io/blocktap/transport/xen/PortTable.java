package io.blocktap.transport.xen;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Ports, their listeners, and how far the handling of each one's last ring is. Indexed by port: Xen gives out small numbers, 131071 at most. No boxing,
 * no iterators. Threads: the event loop of the channels.
 *
 * <pre>
 *            rung()            unmask()
 *   OPEN  ----------&gt;  RUNG  ----------&gt;  OPEN
 *                       |  hold()          ^
 *                       +-------&gt;  HELD  --+  unhold()
 * </pre>
 */
final class PortTable {
    /** The kernel has it unmasked, as far as we know. */
    private static final byte OPEN = 0;
    /** It was delivered, and is to be unmasked when the batch is done. */
    private static final byte RUNG = 1;
    /** It was delivered, and stays masked until somebody says otherwise. */
    private static final byte HELD = 2;

    private EventChannels.@Nullable Listener[] listeners = new EventChannels.Listener[64];
    private byte[] states = new byte[64];
    private int bound;

    /** Returns how many ports are bound. */
    int bound() {
        return bound;
    }

    /** Returns a number above every bound port, to go through all. */
    int end() {
        return listeners.length;
    }

    boolean isBound(int port) {
        return port > 0 && port < listeners.length && listeners[port] != null;
    }

    /** Adds a port that the kernel has just given to us. */
    void put(int port, EventChannels.Listener listener) {
        if (port <= 0 || isBound(port)) {
            throw new IllegalStateException("the kernel gave out event channel " + port + ", which is in use");
        }
        if (port >= listeners.length) {
            int length = Integer.highestOneBit(port) << 1;
            listeners = Arrays.copyOf(listeners, length);
            states = Arrays.copyOf(states, length);
        }
        listeners[port] = listener;
        states[port] = OPEN;
        bound++;
    }

    void remove(int port) {
        if (isBound(port)) {
            listeners[port] = null;
            bound--;
        }
    }

    void clear() {
        Arrays.fill(listeners, null);
        bound = 0;
    }

    /**
     * Notes that a port was delivered.
     *
     * @return who hears it; null if nobody: it was closed after it rang, or it is held (the kernel then says so a second time only when the number was in its
     *     queue from a former binding)
     */
    EventChannels.@Nullable Listener rung(int port) {
        if (!isBound(port) || states[port] == HELD) {
            return null;
        }
        states[port] = RUNG;
        return listeners[port];
    }

    /** Keeps a delivered port masked. Returns whether it was delivered in this batch. */
    boolean hold(int port) {
        if (!isBound(port) || states[port] != RUNG) {
            return false;
        }
        states[port] = HELD;
        return true;
    }

    /** Ends {@link #hold}. Returns whether the port was held and is to be unmasked now. */
    boolean unhold(int port) {
        return isBound(port) && leave(port, HELD);
    }

    /** Ends the handling of a delivered port. Returns whether it is to be unmasked: still bound and not held. */
    boolean unmask(int port) {
        return isBound(port) && leave(port, RUNG);
    }

    private boolean leave(int port, byte state) {
        if (states[port] != state) {
            return false;
        }
        states[port] = OPEN;
        return true;
    }
}

package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.socket.SocketLimits;
import java.time.Duration;

/**
 * What one server does and allows.
 *
 * @param durability when a WRITE is answered
 * @param controlTime how long a client may take over its control request
 * @param keepAlive time between two keep-alives on a session; zero for none
 * @param limits what all socket taps bound; connections are sessions and control requests together
 */
record GnbdSettings(Durability durability, Duration controlTime, Duration keepAlive, SocketLimits limits) {
    /** When a WRITE is answered. */
    enum Durability {
        /** When it is on stable storage, as clients expect who have no FLUSH. */
        STABLE,
        /** When the disk has taken it. */
        WRITE_BACK
    }
}

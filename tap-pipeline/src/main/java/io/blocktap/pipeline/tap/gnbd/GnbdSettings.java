package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.socket.TransmissionHandler;
import java.time.Duration;

/**
 * What one server does and allows.
 *
 * @param durability when a WRITE is answered
 * @param maxConnections connections at a time, sessions and control requests together
 * @param controlTime how long a client may take over its control request
 * @param keepAlive time between two keep-alives on a session; zero for none
 * @param transmission what one session may have
 */
record GnbdSettings(
        Durability durability,
        int maxConnections,
        Duration controlTime,
        Duration keepAlive,
        TransmissionHandler.Limits transmission) {
    /** When a WRITE is answered. */
    enum Durability {
        /** When it is on stable storage, as clients expect who have no FLUSH. */
        STABLE,
        /** When the disk has taken it. */
        WRITE_BACK
    }
}

package io.blocktap.terminator.gnbd;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What servers know this process by. The timestamp stays the same for its whole life: so a node that a cluster has fenced is kept out until it was started anew.
 *
 * <p>Any thread.
 */
final class Incarnation {
    /** In microseconds since 1970, as the original kernel client has it. */
    static final long TIMESTAMP = ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());

    /** Exports in use by this process, each under its server's and its node's name. */
    private static final Set<String> IN_USE = ConcurrentHashMap.newKeySet();

    private Incarnation() {}

    /** Takes an export; false if this process uses it already: the second user's KILL would end the first one's sessions, and so on for ever. */
    static boolean take(GnbdConfig config) {
        return IN_USE.add(key(config));
    }

    static void giveBack(GnbdConfig config) {
        IN_USE.remove(key(config));
    }

    private static String key(GnbdConfig config) {
        return config.server() + "/" + config.export() + " " + config.node();
    }
}

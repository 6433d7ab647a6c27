package io.blocktap.terminator.gnbd;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
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

    /** Exports in use by this process. */
    private static final Set<Key> IN_USE = ConcurrentHashMap.newKeySet();
    /** Hosts' addresses as they were when they were first used, so that what was taken is what is given back. */
    private static final Map<String, String> ADDRESSES = new ConcurrentHashMap<>();

    private Incarnation() {}

    /** Takes an export, on a thread that may wait; false if this process uses it already: the second user's KILL would end the first one's sessions, and so on for ever. */
    static boolean take(GnbdConfig config) {
        return IN_USE.add(key(config));
    }

    static void giveBack(GnbdConfig config) {
        IN_USE.remove(key(config));
    }

    private static Key key(GnbdConfig config) {
        String address = ADDRESSES.computeIfAbsent(config.host(), Incarnation::address);
        return new Key(address, config.port(), config.export(), config.node());
    }

    /** The first address of a host; its name if it has none. May wait. */
    private static String address(String host) {
        try {
            return InetAddress.getByName(host).getHostAddress();
        } catch (UnknownHostException e) {
            return host;
        }
    }

    private record Key(String address, int port, String export, String node) {}
}

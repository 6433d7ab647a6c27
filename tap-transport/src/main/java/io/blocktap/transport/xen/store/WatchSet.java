package io.blocktap.transport.xen.store;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The open watches of a client, each with a token of its own, and those of them that have fired and whose listeners were not told yet. On the loop. */
final class WatchSet {
    private static final Logger LOG = LoggerFactory.getLogger(WatchSet.class);

    private final XenStore store;
    private final Map<String, Watch> byToken = new LinkedHashMap<>();
    private final Set<Watch> fired = new LinkedHashSet<>();
    /** Of this turn: in a storm they are the same few. */
    private final Map<String, XenStorePath> recentPaths = new HashMap<>();

    private long tokens;

    WatchSet(XenStore store) {
        this.store = store;
    }

    Watch add(XenStorePath path, WatchListener listener) {
        Watch watch = new Watch(store, path, "b" + ++tokens, listener);
        byToken.put(watch.token(), watch);
        return watch;
    }

    void remove(Watch watch) {
        watch.markClosed();
        byToken.remove(watch.token());
        fired.remove(watch);
    }

    /** Returns all of them, as they are now. */
    Collection<Watch> all() {
        return List.copyOf(byToken.values());
    }

    /** Notes an event. */
    void fire(String path, String token) {
        Watch watch = byToken.get(token);
        if (watch == null) {
            return; // closed meanwhile
        }
        try {
            watch.fire(recentPaths.computeIfAbsent(path, XenStorePath::of));
        } catch (IllegalArgumentException e) {
            LOG.warn("{}: an event of {} names no path: {}", store, watch, e.getMessage());
            watch.fire(watch.path());
        }
        fired.add(watch);
    }

    /** Forgets the turn's paths. */
    void endTurn() {
        recentPaths.clear();
    }

    /** Tells the listeners; not those of a watch whose caller does not know yet that it is set. */
    void dispatch() {
        if (fired.isEmpty()) {
            return;
        }
        for (Watch each : new ArrayList<>(fired)) {
            if (each.isSet() && fired.remove(each)) {
                each.dispatch();
            }
        }
    }

    /** Forgets what has fired, since each watch fires again when it is set anew. */
    void forgetFired() {
        fired.clear();
        byToken.values().forEach(Watch::forget);
    }

    void removeAll() {
        all().forEach(this::remove);
    }
}

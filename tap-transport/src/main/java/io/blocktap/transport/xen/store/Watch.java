package io.blocktap.transport.xen.store;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A watch that is set, until it is closed or its connection ends for good. */
public final class Watch {
    private static final Logger LOG = LoggerFactory.getLogger(Watch.class);
    /** With more of them in one turn, one event for the watched path stands for all. */
    static final int MOST_PATHS = 256;

    private final XenStore store;
    private final XenStorePath path;
    private final String token;
    private final WatchListener listener;
    private final Set<XenStorePath> fired = new LinkedHashSet<>();
    private boolean set;
    private boolean tooMany;
    private volatile boolean closed;

    Watch(XenStore store, XenStorePath path, String token, WatchListener listener) {
        this.store = store;
        this.path = path;
        this.token = token;
        this.listener = listener;
    }

    /** Returns the path that is watched. */
    public XenStorePath path() {
        return path;
    }

    /**
     * Stops watching. On the loop, the listener is not called any more from now on; from another thread, once the returned future is complete.
     *
     * @return completes when xenstored has been told; also if there is no connection, for then there is no watch
     */
    public CompletableFuture<Void> close() {
        return store.unwatch(this);
    }

    String token() {
        return token;
    }

    boolean isSet() {
        return set;
    }

    void markSet() {
        set = true;
    }

    boolean isClosed() {
        return closed;
    }

    void markClosed() {
        closed = true;
        forget();
    }

    /** Forgets what has fired: the connection has ended, and the watch fires again when it is set anew. */
    void forget() {
        fired.clear();
        tooMany = false;
    }

    /** Notes an event; the same one only once. */
    void fire(XenStorePath changed) {
        if (closed || tooMany) {
            return;
        }
        fired.add(changed);
        if (fired.size() > MOST_PATHS) {
            fired.clear();
            fired.add(path);
            tooMany = true;
        }
    }

    /** Tells the listener what has fired. */
    void dispatch() {
        List<XenStorePath> paths = new ArrayList<>(fired);
        forget();
        for (XenStorePath changed : paths) {
            if (closed) {
                return;
            }
            try {
                listener.changed(changed);
            } catch (Throwable t) {
                LOG.error("listener of the xenstore watch on {} failed", path, t);
            }
        }
    }

    @Override
    public String toString() {
        return "watch on " + path + (closed ? " (closed)" : "");
    }
}

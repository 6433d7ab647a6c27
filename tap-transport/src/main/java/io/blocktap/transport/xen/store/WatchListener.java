package io.blocktap.transport.xen.store;

/** Hears that something may have changed. */
@FunctionalInterface
public interface WatchListener {
    /**
     * A node at or below the watched path may have changed, come or gone. On the event loop. What it throws is logged.
     *
     * <p>Look again at what is there: events may be coalesced, may come for nothing (one always does after the watch is set), and tell nothing of what was
     * written. When a parent is removed, or too much has changed at once, the path is the watched one itself and stands for everything below.
     *
     * @param path what may have changed; relative if the watched path is
     */
    void changed(XenStorePath path);
}

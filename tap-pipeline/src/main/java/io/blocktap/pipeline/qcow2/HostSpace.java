package io.blocktap.pipeline.qcow2;

import java.util.Map;
import java.util.TreeMap;

/**
 * Which host clusters can be had: those that were given back, and all behind the end of the file.
 *
 * <p>Threads: under the monitor of the {@link ImageMap}.
 */
final class HostSpace {
    /** More runs than these are not kept; they are found again when the image is opened anew. */
    private static final int MOST_EXTENTS = 1 << 16;

    /** Half of them are worth a search in the refcounts no more. */
    private static final int ENOUGH_EXTENTS = 1 << 10;

    private final TreeMap<Long, Long> free = new TreeMap<>();
    private final long limitClusters;
    private final long firstEnd;
    private long end;
    private long granted;
    private boolean isFresh;

    /**
     * @param endCluster the first cluster that neither the file nor a refcount reaches
     * @param limitClusters how many clusters the file may have
     */
    HostSpace(long endCluster, long limitClusters) {
        this.firstEnd = endCluster;
        this.end = endCluster;
        this.limitClusters = limitClusters;
    }

    /**
     * Takes up to so many clusters in a row.
     *
     * @return the first one's number, {@link #granted} tells how many; -1 if there is none
     */
    long take(long wanted) {
        Map.Entry<Long, Long> first = free.firstEntry();
        if (first != null) {
            return takeFree(first, wanted);
        }
        long room = limitClusters - end;
        return room <= 0 ? -1 : takeAtEnd(Math.min(wanted, room));
    }

    private long takeFree(Map.Entry<Long, Long> extent, long wanted) {
        free.remove(extent.getKey());
        granted = Math.min(wanted, extent.getValue());
        isFresh = false;
        if (granted < extent.getValue()) {
            free.put(extent.getKey() + granted, extent.getValue() - granted);
        }
        return extent.getKey();
    }

    /** Takes clusters in a row behind the end, for the image's own tables: beyond the limit if need be. */
    long takeAtEnd(long count) {
        long first = end;
        end += count;
        granted = count;
        isFresh = true;
        return first;
    }

    /**
     * Takes one cluster for a table of the image's own, beyond the limit if need be.
     *
     * <p>Never one from before the first end: an image that lies may have entries for such a cluster in tables that nobody has looked at, and a guest could then write the table.
     */
    long takeForTable() {
        Map.Entry<Long, Long> extent = free.ceilingEntry(firstEnd);
        return extent == null ? takeAtEnd(1) : takeFree(extent, 1);
    }

    /** Returns whether a table can be had within the limit. */
    boolean hasRoomForTable() {
        return end < limitClusters || free.ceilingKey(firstEnd) != null;
    }

    /** Returns how many clusters the last {@link #take} has given. */
    long granted() {
        return granted;
    }

    /** Returns whether what was taken last has never been written: it reads as zeroes. */
    boolean isFresh() {
        return isFresh;
    }

    void giveBack(long first, long count) {
        long from = first;
        long length = count;
        Map.Entry<Long, Long> before = free.lowerEntry(first);
        if (before != null && before.getKey() + before.getValue() == first) {
            from = before.getKey();
            length += before.getValue();
        }
        Long after = free.remove(first + count);
        if (after != null) {
            length += after;
        }
        if (free.size() < MOST_EXTENTS || from != first) {
            free.put(from, length);
        }
    }

    boolean hasEnough() {
        return free.size() >= ENOUGH_EXTENTS;
    }

    /** Returns the first cluster that was never taken. */
    long end() {
        return end;
    }
}

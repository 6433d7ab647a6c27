package io.blocktap.pipeline.qcow2;

/**
 * Which host clusters can be had: those that were given back, and all behind the end of the file.
 *
 * <p>Threads: under the monitor of the {@link ImageMap}.
 */
final class HostSpace {
    /** So many are worth a search in the refcounts no more. */
    private static final int ENOUGH_CLUSTERS = 1 << 14;

    private final FreeClusters free = new FreeClusters();
    private final long limitClusters;
    private final long firstEnd;
    private long end;
    private long granted;
    private boolean isFresh;

    /**
     * @param endCluster the first cluster that neither the file nor a refcount reaches
     * @param limitClusters how many clusters the file may have, but for tables
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
        long first = takeFree(0, wanted);
        if (first >= 0) {
            return first;
        }
        long room = limitClusters - end;
        return room <= 0 ? -1 : takeAtEnd(Math.min(wanted, room));
    }

    private long takeFree(long least, long wanted) {
        long first = free.take(least, wanted);
        granted = free.length();
        isFresh = false;
        return first;
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
        long first = takeFree(firstEnd, 1);
        return first < 0 ? takeAtEnd(1) : first;
    }

    /** Returns whether a table can be had within the limit. */
    boolean hasRoomForTable() {
        return end < limitClusters || free.hasFrom(firstEnd);
    }

    /** Returns how many clusters the last {@link #take} has given. */
    long granted() {
        return granted;
    }

    /** Returns whether what was taken last has never been written: it reads as zeroes. */
    boolean isFresh() {
        return isFresh;
    }

    /** Clusters can be had again. If free space is in very many pieces some are forgotten; they are found again when the image is opened anew. */
    void giveBack(long first, long count) {
        free.add(first, count);
    }

    /** Returns how many were given back, and not taken again. */
    long freeClusters() {
        return free.count();
    }

    boolean hasEnough() {
        return free.count() >= ENOUGH_CLUSTERS;
    }

    /** Returns the first cluster that was never taken. */
    long end() {
        return end;
    }
}

package io.blocktap.pipeline.qcow2;

import java.util.Arrays;

/** The host clusters that an image has for itself, as it was opened: header, L1, L2 tables, refcounts. Whoever says that they are a guest's data is wrong: the guest could write the map. Any thread. */
final class OwnClusters {
    /** Of an image that has none. */
    static final OwnClusters NONE = new OwnClusters();

    private final long l1First;
    private final long l1End;
    private final long tableFirst;
    private final long tableEnd;
    private final long[] sorted;

    /**
     * Collects them.
     *
     * @param blocks where the blocks of refcounts are, in bytes, 0 for none
     */
    OwnClusters(Layout layout, Qcow2Header header, long[] l1, long[] blocks) {
        l1First = layout.cluster(header.l1Offset());
        l1End = l1First + layout.clustersFor((long) header.l1Entries() * Long.BYTES);
        tableFirst = layout.cluster(header.refcountTableOffset());
        tableEnd = tableFirst + header.refcountTableClusters();
        sorted = new long[l1.length + blocks.length];
        for (int i = 0; i < l1.length; i++) {
            sorted[i] = layout.cluster(Entry.host(l1[i]));
        }
        for (int i = 0; i < blocks.length; i++) {
            sorted[l1.length + i] = layout.cluster(blocks[i]);
        }
        Arrays.sort(sorted);
    }

    private OwnClusters() {
        l1First = 0;
        l1End = 0;
        tableFirst = 0;
        tableEnd = 0;
        sorted = new long[0];
    }

    /** Returns the number of the first one from one number on, up to but not including another; -1 if there is none. Cluster 0 is not looked at. */
    long firstIn(long from, long to) {
        long first = Math.min(firstIn(l1First, l1End, from, to), firstIn(tableFirst, tableEnd, from, to));
        int found = Arrays.binarySearch(sorted, Math.max(1, from));
        int index = found < 0 ? -found - 1 : found;
        if (index < sorted.length && sorted[index] < to) {
            first = Math.min(first, sorted[index]);
        }
        return first == Long.MAX_VALUE ? -1 : first;
    }

    private static long firstIn(long first, long end, long from, long to) {
        long both = Math.max(first, from);
        return both < Math.min(end, to) ? both : Long.MAX_VALUE;
    }

    boolean contains(long cluster) {
        return cluster == 0
                || cluster >= l1First && cluster < l1End
                || cluster >= tableFirst && cluster < tableEnd
                || Arrays.binarySearch(sorted, cluster) >= 0;
    }
}

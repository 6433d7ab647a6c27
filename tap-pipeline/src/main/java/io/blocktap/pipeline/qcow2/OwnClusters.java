package io.blocktap.pipeline.qcow2;

import java.util.Arrays;

/** The host clusters that an image has for itself, as it was opened: header, L1, L2 tables, refcounts. Whoever says that they are a guest's data is wrong: the guest could write the map. Any thread. */
final class OwnClusters {
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

    boolean contains(long cluster) {
        return cluster == 0
                || cluster >= l1First && cluster < l1End
                || cluster >= tableFirst && cluster < tableEnd
                || Arrays.binarySearch(sorted, cluster) >= 0;
    }
}

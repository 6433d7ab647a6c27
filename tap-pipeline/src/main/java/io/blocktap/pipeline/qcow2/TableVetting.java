package io.blocktap.pipeline.qcow2;

import java.nio.ByteBuffer;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/**
 * Which entries an L2 table may have: an image may come from anywhere, and its guest must not get at its tables.
 *
 * <p>A table that is read for the first time has what the image had when it was opened: nothing behind the file's end of that time, and none of the image's own clusters. After that its entries are ours, and
 * may have those, since places change.
 *
 * <p>Threads: {@link #read} any; the rest under the monitor of the {@link ImageMap}.
 */
final class TableVetting {
    private final Layout layout;
    private final @Nullable OwnClusters own;
    private final long endAtOpen;
    private final BitSet known = new BitSet();

    /** @param own clusters that no entry may have; null if nothing is written */
    TableVetting(Layout layout, @Nullable OwnClusters own, long endAtOpen) {
        this.layout = layout;
        this.own = own;
        this.endAtOpen = endAtOpen;
    }

    /**
     * What holds for one table.
     *
     * @param endCluster no entry has this one, or one behind it
     * @param forbidden nor one of these
     */
    record Limits(long endCluster, @Nullable OwnClusters forbidden) {}

    /** Returns what holds for a table, which the file has between the start and the given end. */
    Limits limits(int l1Index, long endCluster) {
        return known.get(l1Index) ? new Limits(endCluster, null) : new Limits(endAtOpen, own);
    }

    /** A table has been read, or made. */
    void knows(int l1Index) {
        known.set(l1Index);
    }

    /** Takes the entries of a table as it is in the file, {@link TableCache#BAD} for those that can not be right. Returns how many are not. */
    int read(ByteBuffer content, long[] entries, Limits limits) {
        int bad = 0;
        for (int i = 0; i < entries.length; i++) {
            long entry = content.getLong(i * Long.BYTES);
            if (entry != Entry.UNALLOCATED && isBad(entry, limits)) {
                entry = TableCache.BAD;
                bad++;
            }
            entries[i] = entry;
        }
        return bad;
    }

    private boolean isBad(long entry, Limits limits) {
        if (Entry.isCompressed(entry)) {
            return (entry & Entry.COPIED) != 0 || isBadCompressed(entry, limits);
        }
        long host = Entry.host(entry);
        return (entry & Entry.RESERVED) != 0
                || layout.offsetInCluster(host) != 0
                || layout.cluster(host) >= limits.endCluster
                || host == 0 && (entry & Entry.COPIED) != 0
                || host != 0 && limits.forbidden != null && limits.forbidden.contains(layout.cluster(host));
    }

    /** The end of what is compressed may lie behind the end: it is told in whole sectors, which the file need not fill. */
    private boolean isBadCompressed(long entry, Limits limits) {
        long offset = CompressedExtent.offset(entry, layout);
        long first = layout.cluster(offset);
        long last = layout.cluster(offset + CompressedExtent.length(entry, layout) - 1);
        if (first >= limits.endCluster) {
            return true;
        }
        for (long cluster = first; limits.forbidden != null && cluster <= last; cluster++) {
            if (limits.forbidden.contains(cluster)) {
                return true;
            }
        }
        return false;
    }
}

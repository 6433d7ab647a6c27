package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.StageException;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * The host clusters that an image has for itself, as it was opened: header, L1, L2 tables, refcounts, and all tables of its snapshots. Whoever says that they are a guest's data is wrong: the guest could write the map. Any
 * thread.
 */
final class OwnClusters {
    /** Of an image that has none. */
    static final OwnClusters NONE = new OwnClusters(new long[0]);

    /** So many bytes the L1 tables of all snapshots may have: those of a thousand snapshots of a disk of 4 TiB. */
    private static final long MOST_SNAPSHOT_L1_BYTES = 64 << 20;

    private final long[] sorted;

    private OwnClusters(long[] sorted) {
        this.sorted = sorted;
    }

    /**
     * Collects them. May wait.
     *
     * @param blocks where the blocks of refcounts are, in bytes, 0 for none
     * @throws StageException if two of them are in the same place, or there are too many; in words for the user
     */
    static OwnClusters of(
            ImageStorage storage, Layout layout, Qcow2Header header, long[] l1, long[] blocks, SnapshotTable snapshots)
            throws StageException, ImageException {
        Collector own = new Collector(layout);
        own.addRange(0, 1);
        own.addRange(header.l1Offset(), (long) header.l1Entries() * Long.BYTES);
        own.addRange(header.refcountTableOffset(), layout.startOf(header.refcountTableClusters()));
        own.addRange(snapshots.offsetBytes(), snapshots.lengthBytes());
        long snapshotBytes = 0;
        for (Snapshot snapshot : snapshots.snapshots()) {
            snapshotBytes += snapshot.l1Bytes();
            requireSane(storage, snapshot, snapshotBytes);
            own.addRange(snapshot.l1Offset(), snapshot.l1Bytes());
        }
        own.addAll(l1);
        own.addAll(blocks);
        long twice = own.firstTwice();
        if (twice >= 0) {
            throw new StageException(storage.name() + " says of two of its tables that they are in cluster " + twice
                    + ": it is damaged, and writes would destroy it. Make a copy, then: qemu-img check -r all "
                    + storage.name());
        }
        // Snapshots share tables with the disk and each other.
        for (Snapshot snapshot : snapshots.snapshots()) {
            ByteBuffer bytes = ByteBuffer.allocateDirect((int) snapshot.l1Bytes());
            ImageException.check(storage.read(bytes, snapshot.l1Offset()));
            long[] its = new long[bytes.capacity() / Long.BYTES];
            bytes.clear().asLongBuffer().get(its);
            own.addAll(its);
        }
        return new OwnClusters(own.distinct());
    }

    private static void requireSane(ImageStorage storage, Snapshot snapshot, long snapshotBytes) throws StageException {
        if (snapshot.l1Offset() < 0 || snapshot.l1Offset() > storage.sizeBytes() - snapshot.l1Bytes()) {
            throw new StageException(storage.name()
                    + " has a snapshot whose L1 table does not lie in it: it is damaged; make a copy of it, then: qemu-img check -r all "
                    + storage.name());
        }
        if (snapshotBytes > MOST_SNAPSHOT_L1_BYTES) {
            throw new StageException(
                    storage.name() + " has snapshots with more than " + MOST_SNAPSHOT_L1_BYTES
                            + " bytes of L1 tables, which is the most that can be looked after; delete some: qemu-img snapshot -d");
        }
    }

    /** A growing list of clusters. */
    private static final class Collector {
        private final Layout layout;
        private long[] clusters = new long[1024];
        private int count;

        Collector(Layout layout) {
            this.layout = layout;
        }

        private void add(long cluster) {
            if (count == clusters.length) {
                clusters = Arrays.copyOf(clusters, 2 * count);
            }
            clusters[count++] = cluster;
        }

        void addRange(long offsetBytes, long lengthBytes) {
            long end = layout.clustersFor(offsetBytes + lengthBytes);
            for (long cluster = layout.cluster(offsetBytes); lengthBytes > 0 && cluster < end; cluster++) {
                add(cluster);
            }
        }

        /** Adds the clusters that entries of tables name. */
        void addAll(long[] entries) {
            for (long entry : entries) {
                if (Entry.host(entry) != 0) {
                    add(layout.cluster(Entry.host(entry)));
                }
            }
        }

        /** Returns the first one that was added twice; -1 if there is none. */
        long firstTwice() {
            Arrays.sort(clusters, 0, count);
            for (int i = 1; i < count; i++) {
                if (clusters[i] == clusters[i - 1]) {
                    return clusters[i];
                }
            }
            return -1;
        }

        long[] distinct() {
            Arrays.sort(clusters, 0, count);
            int kept = 0;
            for (int i = 0; i < count; i++) {
                if (kept == 0 || clusters[i] != clusters[kept - 1]) {
                    clusters[kept++] = clusters[i];
                }
            }
            return Arrays.copyOf(clusters, kept);
        }
    }

    /** Returns the number of the first one from one number on, up to but not including another; -1 if there is none. */
    long firstIn(long from, long to) {
        int found = Arrays.binarySearch(sorted, from);
        int index = found < 0 ? -found - 1 : found;
        return index < sorted.length && sorted[index] < to ? sorted[index] : -1;
    }

    boolean contains(long cluster) {
        return Arrays.binarySearch(sorted, cluster) >= 0;
    }
}

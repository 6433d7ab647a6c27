package io.blocktap.pipeline.qcow2;

/**
 * The numbers by which a qcow2 image divides the disk and itself.
 *
 * <p>Source: QEMU, {@code docs/interop/qcow2.txt}.
 *
 * @param clusterBits a cluster has {@code 1 << clusterBits} bytes; 9 to 21
 * @param sizeBytes the disk's size
 */
record Layout(int clusterBits, long sizeBytes) {
    /** What is written of metadata at a time: less would become as much below. */
    private static final int PAGE_BYTES = 4096;

    int clusterBytes() {
        return 1 << clusterBits;
    }

    /** Returns how many bits of a cluster's number are its index in an L2 table. */
    int l2Bits() {
        return clusterBits - 3;
    }

    int l2Entries() {
        return 1 << l2Bits();
    }

    int l1Index(long cluster) {
        return (int) (cluster >>> l2Bits());
    }

    int l2Index(long cluster) {
        return (int) cluster & l2Entries() - 1;
    }

    long cluster(long offsetBytes) {
        return offsetBytes >>> clusterBits;
    }

    int offsetInCluster(long offsetBytes) {
        return (int) offsetBytes & clusterBytes() - 1;
    }

    long startOf(long cluster) {
        return cluster << clusterBits;
    }

    /** Returns how many clusters the disk has; the last one may be cut short by its end. */
    long clusters() {
        return (sizeBytes + clusterBytes() - 1) >>> clusterBits;
    }

    /** Returns how many entries the L1 table must have. */
    long l1Entries() {
        return (clusters() + l2Entries() - 1) >>> l2Bits();
    }

    /** Returns the unit in which tables are written. */
    int pageBytes() {
        return Math.min(PAGE_BYTES, clusterBytes());
    }

    /** Returns how many host clusters data may take: of what can be told in an entry the second half is left to tables, which have no limit of their own. */
    long mostHostClusters() {
        return 1L << Entry.OFFSET_BITS - 1 - clusterBits;
    }

    long clustersFor(long bytes) {
        return (bytes + clusterBytes() - 1) >>> clusterBits;
    }
}

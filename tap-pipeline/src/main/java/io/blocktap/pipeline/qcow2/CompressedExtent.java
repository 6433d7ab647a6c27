package io.blocktap.pipeline.qcow2;

/**
 * Where a compressed cluster's bytes are: part of its L2 entry. They begin at any byte, and are told in sectors, so the last one may have bytes of something else.
 *
 * <p>Source: QEMU, {@code docs/interop/qcow2.txt}, "Compressed Clusters Descriptor".
 */
final class CompressedExtent {
    private static final int SECTOR_BYTES = 512;
    private static final int DESCRIPTOR_BITS = 62;

    private CompressedExtent() {}

    private static int offsetBits(Layout layout) {
        return DESCRIPTOR_BITS - (layout.clusterBits() - 8);
    }

    /** Returns the first byte's place in the file. */
    static long offset(long entry, Layout layout) {
        return entry & (1L << offsetBits(layout)) - 1;
    }

    /** Returns how many bytes there are at most. */
    static int length(long entry, Layout layout) {
        int bits = offsetBits(layout);
        long moreSectors = entry >>> bits & (1L << DESCRIPTOR_BITS - bits) - 1;
        return (int) ((moreSectors + 1) * SECTOR_BYTES - (offset(entry, layout) & SECTOR_BYTES - 1));
    }
}

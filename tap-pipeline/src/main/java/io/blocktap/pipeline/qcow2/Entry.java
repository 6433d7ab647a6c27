package io.blocktap.pipeline.qcow2;

/**
 * The words of L1 and L2 tables.
 *
 * <p>Source: QEMU, {@code docs/interop/qcow2.txt}, "Cluster mapping".
 */
final class Entry {
    /** The host cluster has no other user: it may be written in place. */
    static final long COPIED = 1L << 63;
    /** The rest is a compressed cluster's descriptor. */
    static final long COMPRESSED = 1L << 62;
    /** Reads as zeroes, whatever the host cluster holds. */
    static final long ZERO = 1;

    static final long UNALLOCATED = 0;

    /** Bits that mean nothing in an entry that is not compressed. */
    static final long RESERVED = 0x3f00_0000_0000_01feL;

    /** A place in the file has so many bits at most. */
    static final int OFFSET_BITS = 56;

    private static final long OFFSET_MASK = 0x00ff_ffff_ffff_fe00L;

    private Entry() {}

    static boolean isCompressed(long entry) {
        return (entry & COMPRESSED) != 0;
    }

    /** Returns whether it reads as zeroes by its own flag. */
    static boolean isZero(long entry) {
        return (entry & (COMPRESSED | ZERO)) == ZERO;
    }

    /** Returns whether the host cluster has the data as they are. */
    static boolean isData(long entry) {
        return (entry & (COMPRESSED | ZERO)) == 0 && host(entry) != 0;
    }

    /** Returns whether what stands below has the data. */
    static boolean isUnallocated(long entry) {
        return (entry & (COMPRESSED | ZERO)) == 0 && host(entry) == 0;
    }

    /** Returns whether the data can be written where they are. */
    static boolean isInPlace(long entry) {
        return (entry & (COPIED | COMPRESSED | ZERO)) == COPIED && host(entry) != 0;
    }

    /** Returns the host cluster's offset in the file, 0 if there is none; not for compressed ones. */
    static long host(long entry) {
        return entry & OFFSET_MASK;
    }

    static long data(long hostOffset) {
        return hostOffset | COPIED;
    }
}

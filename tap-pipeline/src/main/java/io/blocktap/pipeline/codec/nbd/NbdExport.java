package io.blocktap.pipeline.codec.nbd;

import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;

/**
 * What a client is told of a disk, once, when it connects: NBD can not tell it of changes.
 *
 * @param name the export's name
 * @param description for people
 * @param sizeBytes its size
 * @param flags transmission flags, {@link Nbd#FLAG_HAS_FLAGS} and so on
 * @param minimumBlockBytes offsets and lengths must be multiples of this power of two
 * @param preferredBlockBytes the size at which requests are served best
 */
public record NbdExport(
        String name, String description, long sizeBytes, int flags, int minimumBlockBytes, int preferredBlockBytes) {
    private static final int LARGEST_MINIMUM_BLOCK_BYTES = 1 << 16;
    private static final int USUAL_PREFERRED_BLOCK_BYTES = 4096;

    /**
     * Translates a disk's geometry.
     *
     * @throws IllegalArgumentException if its smallest unit of I/O is larger than NBD can express
     */
    public static NbdExport of(String name, String description, Geometry geometry) {
        int minimum = geometry.minimumIoBytes();
        if (minimum > LARGEST_MINIMUM_BLOCK_BYTES) {
            throw new IllegalArgumentException(
                    "smallest unit of I/O " + minimum + " bytes; NBD allows at most " + LARGEST_MINIMUM_BLOCK_BYTES);
        }
        int preferred = Math.max(USUAL_PREFERRED_BLOCK_BYTES, Math.max(minimum, geometry.physicalBlockBytes()));
        return new NbdExport(
                name,
                description,
                geometry.sizeBytes(),
                flags(geometry),
                minimum,
                Math.min(preferred, Nbd.MAX_PAYLOAD_BYTES));
    }

    private static int flags(Geometry geometry) {
        boolean writable = !geometry.has(Feature.READ_ONLY);
        return Nbd.FLAG_HAS_FLAGS
                | (writable ? 0 : Nbd.FLAG_READ_ONLY)
                | flag(geometry, Feature.FLUSH, Nbd.FLAG_SEND_FLUSH)
                | flag(geometry, Feature.ROTATIONAL, Nbd.FLAG_ROTATIONAL)
                | flag(geometry, Feature.MULTI_CONNECTION, Nbd.FLAG_CAN_MULTI_CONN)
                | (writable ? writeFlags(geometry) : 0);
    }

    private static int writeFlags(Geometry geometry) {
        boolean zeroes = geometry.has(Feature.WRITE_ZEROES);
        return flag(geometry, Feature.FUA, Nbd.FLAG_SEND_FUA)
                | flag(geometry, Feature.DISCARD, Nbd.FLAG_SEND_TRIM)
                | (zeroes ? Nbd.FLAG_SEND_WRITE_ZEROES : 0)
                | (zeroes ? flag(geometry, Feature.FAST_ZERO, Nbd.FLAG_SEND_FAST_ZERO) : 0);
    }

    private static int flag(Geometry geometry, Feature feature, int flag) {
        return geometry.has(feature) ? flag : 0;
    }

    /** Returns whether a transmission flag is set. */
    public boolean has(int flag) {
        return (flags & flag) != 0;
    }
}

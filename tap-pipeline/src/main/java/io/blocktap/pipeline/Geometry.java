package io.blocktap.pipeline;

import java.util.EnumSet;
import java.util.Set;

/**
 * What a disk looks like from above: told by the terminator, changed by interposers on the way up, advertised by the tap.
 *
 * @param sizeBytes the disk's size
 * @param minimumIoBytes offsets and lengths of requests must be multiples of this: 1, or a power of two
 * @param logicalBlockBytes what frontends are told as the logical block size: a power of two, 512 or more
 * @param physicalBlockBytes what frontends are told as the physical block size: at least the logical one
 * @param discardGranularityBytes smaller discards have no effect; 0 if unknown
 * @param dataAlignmentBytes how the stages below want a request's data aligned in memory to avoid a copy; 1 if they do not care
 * @param features what is supported
 */
public record Geometry(
        long sizeBytes,
        int minimumIoBytes,
        int logicalBlockBytes,
        int physicalBlockBytes,
        int discardGranularityBytes,
        int dataAlignmentBytes,
        Set<Feature> features) {

    /** Checks the numbers and copies the set. */
    public Geometry {
        if (sizeBytes < 0) {
            throw new IllegalArgumentException("size of " + sizeBytes + " bytes");
        }
        requirePowerOfTwo("minimumIoBytes", minimumIoBytes, 1);
        requirePowerOfTwo("logicalBlockBytes", logicalBlockBytes, 512);
        requirePowerOfTwo("physicalBlockBytes", physicalBlockBytes, logicalBlockBytes);
        requirePowerOfTwo("dataAlignmentBytes", dataAlignmentBytes, 1);
        features = Set.copyOf(features);
    }

    private static void requirePowerOfTwo(String name, int value, int least) {
        if (value < least || Integer.bitCount(value) != 1) {
            throw new IllegalArgumentException(name + " " + value + "; it must be a power of two from " + least);
        }
    }

    /** Returns a geometry of the given size: byte granularity, 512-byte logical and 4096-byte physical blocks. */
    public static Geometry ofSize(long sizeBytes, Feature... features) {
        Set<Feature> set = EnumSet.noneOf(Feature.class);
        set.addAll(java.util.List.of(features));
        return new Geometry(sizeBytes, 1, 512, 4096, 0, 1, set);
    }

    /** Returns whether the disk has a feature. */
    public boolean has(Feature feature) {
        return features.contains(feature);
    }

    /** Returns the same geometry with another size. */
    public Geometry withSizeBytes(long newSizeBytes) {
        return new Geometry(
                newSizeBytes,
                minimumIoBytes,
                logicalBlockBytes,
                physicalBlockBytes,
                discardGranularityBytes,
                dataAlignmentBytes,
                features);
    }

    /** Returns the same geometry with another set of features. */
    public Geometry withFeatures(Set<Feature> newFeatures) {
        return new Geometry(
                sizeBytes,
                minimumIoBytes,
                logicalBlockBytes,
                physicalBlockBytes,
                discardGranularityBytes,
                dataAlignmentBytes,
                newFeatures);
    }

    /** Returns the same geometry with another smallest unit of I/O. */
    public Geometry withMinimumIoBytes(int newMinimumIoBytes) {
        return new Geometry(
                sizeBytes,
                newMinimumIoBytes,
                logicalBlockBytes,
                physicalBlockBytes,
                discardGranularityBytes,
                dataAlignmentBytes,
                features);
    }
}

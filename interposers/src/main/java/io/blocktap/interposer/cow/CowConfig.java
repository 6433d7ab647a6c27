package io.blocktap.interposer.cow;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.file.FileEngine;
import io.blocktap.pipeline.qcow2.Qcow2Options;
import java.nio.file.Path;
import java.util.List;

/**
 * The options of {@code cow}.
 *
 * @param overlay the overlay's file; {@link #MEMORY} for one in memory
 * @param limitBytes how large one in memory may become, -1 without a limit
 * @param clusterBits clusters of a new overlay have {@code 1 << clusterBits} bytes; -1 if it is not told
 * @param l2CacheBytes how much of the map is kept in memory
 * @param io who does what may wait
 */
public record CowConfig(Path overlay, long limitBytes, int clusterBits, long l2CacheBytes, FileEngine.Io io) {
    static final Path MEMORY = Path.of("memory");
    static final int DEFAULT_CLUSTER_BITS = 16;

    private static final int LEAST_CLUSTER_BITS = 9;
    private static final int MOST_CLUSTER_BITS = 21;

    static final List<OptionSpec> OPTIONS = List.of(
            OptionSpec.required(
                            "overlay",
                            OptionType.PATH,
                            "the qcow2 file for what is written, made if there is none; memory: kept in memory (./memory is a file)")
                    .first(),
            OptionSpec.optional(
                    "limit",
                    OptionType.SIZE,
                    "how much memory an overlay in memory may take; without it, as much as there is"),
            OptionSpec.optional(
                    "cluster-size",
                    OptionType.SIZE,
                    "of a new overlay, 512 to 2M; 64K if not told; a write copies the rest of its cluster once"),
            Qcow2Options.L2_CACHE,
            FileEngine.Io.OPTION);

    static CowConfig of(OptionValues values) throws StageException {
        Path overlay = values.path("overlay");
        boolean hasLimit = values.has("limit");
        if (hasLimit && !overlay.equals(MEMORY)) {
            throw new StageException(
                    "cow: limit= is for overlays in memory (cow:memory,limit=...); leave it out, or limit the file system");
        }
        int bits = -1;
        if (values.has("cluster-size")) {
            long bytes = values.sizeBytes("cluster-size");
            bits = Long.numberOfTrailingZeros(bytes);
            if (Long.bitCount(bytes) != 1 || bits < LEAST_CLUSTER_BITS || bits > MOST_CLUSTER_BITS) {
                throw new StageException("cow: cluster-size is " + bytes + " bytes; it is a power of two, 512 to 2M");
            }
        }
        long limit = hasLimit ? values.sizeBytes("limit") : -1;
        if (hasLimit && limit < 16L << Math.max(bits, DEFAULT_CLUSTER_BITS)) {
            throw new StageException("cow: limit is " + limit + " bytes; at least 16 clusters are needed, "
                    + (16L << Math.max(bits, DEFAULT_CLUSTER_BITS)));
        }
        return new CowConfig(overlay, limit, bits, Qcow2Options.l2CacheBytes(values), FileEngine.Io.of(values));
    }

    boolean isInMemory() {
        return overlay.equals(MEMORY);
    }

    int newClusterBits() {
        return clusterBits < 0 ? DEFAULT_CLUSTER_BITS : clusterBits;
    }
}

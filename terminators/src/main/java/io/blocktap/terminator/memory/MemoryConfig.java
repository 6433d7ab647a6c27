package io.blocktap.terminator.memory;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/**
 * The settings of the terminator {@code memory}.
 *
 * @param sizeBytes the disk's size, at least 1
 * @param limitBytes how much RAM the disk's content may take; {@link Long#MAX_VALUE} for no bound
 */
public record MemoryConfig(long sizeBytes, long limitBytes) {
    static final List<OptionSpec> OPTIONS = List.of(
            OptionSpec.required("size", OptionType.SIZE, "size of the disk in bytes; only what is written takes RAM")
                    .first(),
            OptionSpec.optional(
                    "limit",
                    OptionType.SIZE,
                    "bytes of RAM that written data may take; writes beyond it fail with 'no space'; no limit by default"));

    /** Makes the settings of a disk without a bound on RAM. */
    public MemoryConfig(long sizeBytes) {
        this(sizeBytes, Long.MAX_VALUE);
    }

    static MemoryConfig of(OptionValues values) throws StageException {
        long sizeBytes = values.sizeBytes("size");
        long limitBytes = values.has("limit") ? values.sizeBytes("limit") : Long.MAX_VALUE;
        if (sizeBytes == 0) {
            throw new StageException("memory: size=0: a disk has at least 1 byte; write for example size=64M");
        }
        if (limitBytes < 1 << Chunk.PAGE_SHIFT) {
            throw new StageException("memory: limit=" + limitBytes + ": less than one page of "
                    + (1 << Chunk.PAGE_SHIFT) + " bytes; write for example limit=1G, or leave it out");
        }
        return new MemoryConfig(sizeBytes, limitBytes);
    }
}

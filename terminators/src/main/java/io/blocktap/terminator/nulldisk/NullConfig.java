package io.blocktap.terminator.nulldisk;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/**
 * The settings of the terminator {@code null}.
 *
 * @param sizeBytes the disk's size, at least 1
 */
public record NullConfig(long sizeBytes) {
    static final List<OptionSpec> OPTIONS =
            List.of(OptionSpec.optional("size", OptionType.SIZE, "size of the disk in bytes")
                    .withDefault("1G")
                    .first());

    static NullConfig of(OptionValues values) throws StageException {
        long sizeBytes = values.sizeBytes("size");
        if (sizeBytes == 0) {
            throw new StageException("null: size=0: a disk has at least 1 byte; write for example size=1G");
        }
        return new NullConfig(sizeBytes);
    }
}

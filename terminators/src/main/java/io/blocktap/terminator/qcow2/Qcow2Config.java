package io.blocktap.terminator.qcow2;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.file.FileEngine;
import io.blocktap.pipeline.qcow2.Qcow2Options;
import java.nio.file.Path;
import java.util.List;

/**
 * The options of {@code qcow2}.
 *
 * @param file the image
 * @param isReadOnly whether it is only read
 * @param l2CacheBytes how much of each map is kept in memory
 * @param io who does what may wait
 */
public record Qcow2Config(Path file, boolean isReadOnly, long l2CacheBytes, FileEngine.Io io) {
    static final List<OptionSpec> OPTIONS = List.of(
            OptionSpec.required(
                            "file", OptionType.PATH, "the qcow2 image; its backing files are opened, too, for reading")
                    .first(),
            OptionSpec.optional("read-only", OptionType.SWITCH, "open for reading; several servers may do so at a time")
                    .withDefault("off"),
            Qcow2Options.L2_CACHE,
            FileEngine.Io.OPTION);

    static Qcow2Config of(OptionValues values) throws StageException {
        return new Qcow2Config(
                values.path("file"),
                values.isOn("read-only"),
                Qcow2Options.l2CacheBytes(values),
                FileEngine.Io.of(values));
    }
}

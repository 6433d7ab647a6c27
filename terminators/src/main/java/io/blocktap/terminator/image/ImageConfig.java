package io.blocktap.terminator.image;

import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.pipeline.file.FileEngine;
import java.nio.file.Path;
import java.util.List;

/**
 * The options of {@code image}.
 *
 * @param file the image
 * @param createBytes size of a file to be made, -1 if it must exist
 * @param access for reading only, or for writing as well
 * @param caching through the page cache, or past it
 * @param io who does what may wait
 * @param discard what DISCARD does
 */
public record ImageConfig(
        Path file,
        long createBytes,
        BlockFile.Access access,
        BlockFile.Caching caching,
        FileEngine.Io io,
        Discard discard) {
    /** What DISCARD does. */
    public enum Discard {
        /** Gives storage back. */
        PUNCH,
        /** Is not offered. */
        OFF
    }

    static final List<OptionSpec> OPTIONS = List.of(
            OptionSpec.required("file", OptionType.PATH, "the raw file or block device")
                    .first(),
            OptionSpec.optional(
                    "size",
                    OptionType.SIZE,
                    "bytes; makes the file, sparse, if there is none; if there is one, it must have this size"),
            OptionSpec.optional("read-only", OptionType.SWITCH, "open for reading; several servers may do so at a time")
                    .withDefault("off"),
            OptionSpec.optional("direct", OptionType.SWITCH, "go past the page cache (O_DIRECT)")
                    .withDefault("off"),
            FileEngine.Io.OPTION,
            OptionSpec.choice(
                    "discard",
                    "punch",
                    List.of("punch", "off"),
                    "whether a discard gives storage back, or is not offered"));

    static ImageConfig of(OptionValues values) {
        return new ImageConfig(
                values.path("file"),
                values.has("size") ? values.sizeBytes("size") : -1,
                values.isOn("read-only") ? BlockFile.Access.READ_ONLY : BlockFile.Access.READ_WRITE,
                values.isOn("direct") ? BlockFile.Caching.DIRECT : BlockFile.Caching.CACHED,
                FileEngine.Io.of(values),
                Discard.valueOf(values.choice("discard").toUpperCase(java.util.Locale.ROOT)));
    }
}

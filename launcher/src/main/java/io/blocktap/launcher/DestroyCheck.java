package io.blocktap.launcher;

import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.terminator.image.ImageFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** Tells whether writing to a disk would destroy data that were there before the disk was opened. */
final class DestroyCheck {
    private DestroyCheck() {}

    /**
     * Looks at the terminator of a chain that is not opened yet.
     *
     * @param chain words; wrong ones are somebody else's to complain about
     * @return what holds the data; empty if there can be none: a disk in memory, an image that is going to be made or is not written
     */
    static Optional<String> dataIn(List<String> chain) {
        if (chain.isEmpty()) {
            return Optional.empty();
        }
        String last = chain.get(chain.size() - 1);
        try {
            StageText terminator = StageText.parse(last);
            return switch (terminator.name()) {
                case "memory", "null" -> Optional.empty();
                case "image" -> dataIn(OptionValues.parse(terminator, new ImageFactory().options()));
                default -> Optional.of("'" + last + "'");
            };
        } catch (ConfigException e) {
            return Optional.empty(); // the chain is refused for it, with every other mistake in it
        }
    }

    private static Optional<String> dataIn(OptionValues image) {
        Path file = image.path("file");
        return image.isOn("read-only") || !Files.exists(file) ? Optional.empty() : Optional.of(file.toString());
    }
}

package io.blocktap.launcher.server;

import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Turns words into stages and taps that are made but not opened, and collects every mistake, each as one line that begins with where it
 * is.
 */
final class ChainResolver {
    /** A tap, ready to be opened. */
    record ResolvedTap(TapFactory factory, OptionValues values, String word) {}

    /**
     * A disk, ready to be opened.
     *
     * @param spec what was asked for
     * @param stages from the tap down
     * @param words the stages in full, with defaults
     */
    record ResolvedDisk(DiskSpec spec, List<DiskOpener.Unopened> stages, List<String> words) {
        /** Returns the chain as it was asked for, for people. */
        String shown() {
            return String.join(
                    " ",
                    spec.parts().stream()
                            .map(part -> part instanceof DiskSpec.Word word
                                    ? word.text()
                                    : ((DiskSpec.Made) part).kindName())
                            .toList());
        }
    }

    private final StageCatalog catalog;
    private final List<String> mistakes = new ArrayList<>();

    ChainResolver(StageCatalog catalog) {
        this.catalog = catalog;
    }

    List<String> mistakes() {
        return mistakes;
    }

    void mistake(String where, String text) {
        mistakes.add(where.isEmpty() ? text : where + ": " + text);
    }

    // ---- disks

    ResolvedDisk disk(DiskSpec spec) {
        List<DiskOpener.Unopened> stages = new ArrayList<>();
        List<String> words = new ArrayList<>();
        int last = spec.parts().size() - 1;
        if (last < 0) {
            mistake(
                    whereOf(spec),
                    "the chain is empty; it needs at least a terminator (" + catalog.terminatorNames()
                            + "), for example memory:64M");
        }
        for (int i = 0; i <= last; i++) {
            DiskSpec.Part part = spec.parts().get(i);
            if (part instanceof DiskSpec.Word word) {
                stage(spec, word, i, last, stages, words);
            } else if (part instanceof DiskSpec.Made made) {
                stages.add(new DiskOpener.Unopened(made.kindName(), made.maker().get()));
                words.add(made.kindName());
            }
        }
        return new ResolvedDisk(spec, stages, words);
    }

    private void stage(
            DiskSpec spec,
            DiskSpec.Word word,
            int position,
            int last,
            List<DiskOpener.Unopened> stages,
            List<String> words) {
        String where = word.where().isEmpty() ? whereOf(spec) : word.where();
        try {
            StageText text = StageText.parse(word.text());
            Optional<StageFactory> found = catalog.stage(text.name());
            if (found.isEmpty()) {
                mistake(
                        where,
                        "'" + text + "': there is no stage '" + text.name() + "'; " + catalog.stageHint(text.name()));
                return;
            }
            StageFactory factory = found.get();
            checkPlace(where, text, factory, position, last);
            OptionValues values = OptionValues.parse(text, factory.options());
            stages.add(new DiskOpener.Unopened(factory.name(), factory.create(values)));
            words.add(OptionWords.word(factory.name(), factory.options(), values));
        } catch (ConfigException e) {
            mistake(where, String.valueOf(e.getMessage()));
        } catch (StageException e) {
            mistake(where, "'" + word.text() + "': " + e.getMessage());
        }
    }

    private void checkPlace(String where, StageText text, StageFactory factory, int position, int last) {
        boolean ends = factory.kind() == StageFactory.Kind.TERMINATOR;
        if (ends && position < last) {
            mistake(
                    where,
                    "'" + text + "': " + factory.name() + " is a terminator and ends a chain, but " + (last - position)
                            + (last - position == 1 ? " stage follows" : " stages follow") + "; put it last");
        } else if (!ends && position == last) {
            mistake(
                    where,
                    "'" + text + "': the chain ends here, but " + factory.name()
                            + " is an interposer and passes requests on; put a terminator behind it ("
                            + catalog.terminatorNames() + ")");
        }
    }

    private static String whereOf(DiskSpec spec) {
        return spec.where().isEmpty() && !spec.name().isEmpty() ? "disk '" + spec.name() + "'" : spec.where();
    }

    // ---- taps

    Optional<ResolvedTap> tap(DiskSpec.Word word) {
        try {
            StageText text = StageText.parse(word.text());
            Optional<TapFactory> found = catalog.tap(text.name());
            if (found.isEmpty()) {
                mistake(
                        word.where(),
                        "'" + text + "': there is no tap '" + text.name() + "'; " + catalog.tapHint(text.name()));
                return Optional.empty();
            }
            TapFactory factory = found.get();
            OptionValues values = OptionValues.parse(text, factory.options());
            factory.check(values);
            return Optional.of(
                    new ResolvedTap(factory, values, OptionWords.word(factory.name(), factory.options(), values)));
        } catch (ConfigException e) {
            mistake(word.where(), String.valueOf(e.getMessage()));
            return Optional.empty();
        } catch (StageException e) {
            mistake(word.where(), "'" + word.text() + "': " + e.getMessage());
            return Optional.empty();
        }
    }
}

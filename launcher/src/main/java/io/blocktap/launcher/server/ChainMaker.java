package io.blocktap.launcher.server;

import io.blocktap.pipeline.ChainDisks;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.config.ChainPolicy;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.transport.Printable;
import java.util.List;
import java.util.Optional;

/** Makes the stages of a chain that a toolstack has named at run time, if the policy allows every word of it. Any thread. */
final class ChainMaker implements ChainDisks.Maker {
    private final StageCatalog catalog;

    ChainMaker(StageCatalog catalog) {
        this.catalog = catalog;
    }

    @Override
    public List<DiskOpener.Unopened> make(String chain, ChainPolicy policy) throws StageException {
        List<String> words = DiskSpec.split(chain);
        for (String word : words) {
            check(word, policy);
        }
        ChainResolver resolver = new ChainResolver(catalog);
        ChainResolver.ResolvedDisk disk = resolver.disk(DiskSpec.ofWords("", "", words));
        if (!resolver.mistakes().isEmpty()) {
            throw new StageException(oneLine(resolver.mistakes().get(0)));
        }
        return disk.stages();
    }

    /** Before a stage is made of it: that costs more, and says more. */
    private void check(String word, ChainPolicy policy) throws StageException {
        try {
            StageText text = StageText.parse(word);
            Optional<StageFactory> factory = catalog.stage(text.name());
            if (factory.isEmpty()) {
                throw new StageException("'" + Printable.of(word) + "': there is no disk and no stage '"
                        + Printable.of(text.name()) + "'; " + catalog.stageHint(text.name()));
            }
            if (!policy.allows(text, factory.get().options())) {
                throw new StageException("'" + Printable.of(word) + "' is not allowed: allow=" + policy
                        + "; paths must be absolute and without '..', and options must be in the pattern");
            }
        } catch (ConfigException e) {
            throw new StageException(oneLine(String.valueOf(e.getMessage())), e);
        }
    }

    /** The text is a toolstack's, and goes into the log. */
    private static String oneLine(String text) {
        StringBuilder line = new StringBuilder();
        text.codePoints().limit(500).forEach(c -> line.append(Character.isISOControl(c) ? "?" : Character.toString(c)));
        return line.toString();
    }
}

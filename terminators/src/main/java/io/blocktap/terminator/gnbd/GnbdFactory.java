package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/** Makes {@link GnbdTerminator}s. */
public final class GnbdFactory implements StageFactory {
    @Override
    public String name() {
        return "gnbd";
    }

    @Override
    public Kind kind() {
        return Kind.TERMINATOR;
    }

    @Override
    public String summary() {
        return "A disk of a GNBD server elsewhere; waits for the server when it is away.";
    }

    @Override
    public List<OptionSpec> options() {
        return GnbdConfig.OPTIONS;
    }

    @Override
    public Stage create(OptionValues values) throws StageException {
        return new GnbdTerminator(GnbdConfig.of(values));
    }
}

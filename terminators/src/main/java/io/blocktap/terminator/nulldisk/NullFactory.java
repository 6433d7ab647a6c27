package io.blocktap.terminator.nulldisk;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/** Makes {@link NullTerminator}s. */
public final class NullFactory implements StageFactory {
    @Override
    public String name() {
        return "null";
    }

    @Override
    public Kind kind() {
        return Kind.TERMINATOR;
    }

    @Override
    public String summary() {
        return "Reads as zeroes and forgets what is written; for measuring what is in front of it.";
    }

    @Override
    public List<OptionSpec> options() {
        return NullConfig.OPTIONS;
    }

    @Override
    public Stage create(OptionValues values) throws StageException {
        return new NullTerminator(NullConfig.of(values));
    }
}

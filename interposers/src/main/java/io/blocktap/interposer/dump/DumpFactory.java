package io.blocktap.interposer.dump;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/** Makes {@link DumpInterposer}s. */
public final class DumpFactory implements StageFactory {
    @Override
    public String name() {
        return "dump";
    }

    @Override
    public Kind kind() {
        return Kind.INTERPOSER;
    }

    @Override
    public String summary() {
        return "Prints a line for each control message, request and response that passes.";
    }

    @Override
    public List<OptionSpec> options() {
        return DumpConfig.OPTIONS;
    }

    @Override
    public Stage create(OptionValues values) throws StageException {
        return new DumpInterposer(DumpConfig.of(values));
    }
}

package io.blocktap.terminator.memory;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/** Makes {@link MemoryTerminator}s. */
public final class MemoryFactory implements StageFactory {
    @Override
    public String name() {
        return "memory";
    }

    @Override
    public Kind kind() {
        return Kind.TERMINATOR;
    }

    @Override
    public String summary() {
        return "A sparse disk in RAM; its content is gone when the server ends.";
    }

    @Override
    public List<OptionSpec> options() {
        return MemoryConfig.OPTIONS;
    }

    @Override
    public Stage create(OptionValues values) throws StageException {
        return new MemoryTerminator(MemoryConfig.of(values));
    }
}

package io.blocktap.interposer.cow;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/** Makes {@link CowInterposer}s. */
public final class CowFactory implements StageFactory {
    static final String NAME = "cow";

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public Kind kind() {
        return Kind.INTERPOSER;
    }

    @Override
    public String summary() {
        return "Copy on write: writes go to a qcow2 overlay, what is below is only read.";
    }

    @Override
    public List<OptionSpec> options() {
        return CowConfig.OPTIONS;
    }

    @Override
    public Stage create(OptionValues values) throws StageException {
        return new CowInterposer(CowConfig.of(values));
    }
}

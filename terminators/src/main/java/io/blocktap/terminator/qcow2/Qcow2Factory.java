package io.blocktap.terminator.qcow2;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/** Makes {@link Qcow2Terminator}s. */
public final class Qcow2Factory implements StageFactory {
    static final String NAME = "qcow2";

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public Kind kind() {
        return Kind.TERMINATOR;
    }

    @Override
    public String summary() {
        return "A qcow2 image, with its backing files.";
    }

    @Override
    public List<OptionSpec> options() {
        return Qcow2Config.OPTIONS;
    }

    @Override
    public Stage create(OptionValues values) throws StageException {
        return new Qcow2Terminator(Qcow2Config.of(values));
    }
}

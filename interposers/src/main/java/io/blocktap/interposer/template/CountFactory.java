package io.blocktap.interposer.template;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/** Makes {@link CountInterposer}s. */
public final class CountFactory implements StageFactory {
    @Override
    public String name() {
        return "count";
    }

    @Override
    public Kind kind() {
        return Kind.INTERPOSER;
    }

    @Override
    public String summary() {
        return "Counts requests by operation and logs the numbers when the disk closes.";
    }

    @Override
    public List<OptionSpec> options() {
        return CountConfig.OPTIONS;
    }

    @Override
    public Stage create(OptionValues values) {
        return new CountInterposer(CountConfig.of(values));
    }
}

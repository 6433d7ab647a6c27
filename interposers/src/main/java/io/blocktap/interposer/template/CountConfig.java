package io.blocktap.interposer.template;

import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionType;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/**
 * The settings of the interposer {@code count}.
 *
 * @param label stands in the log line, to tell several counters of one chain apart; may be empty
 */
public record CountConfig(String label) {
    /** What may be written after {@code count:}. */
    static final List<OptionSpec> OPTIONS =
            List.of(OptionSpec.optional("label", OptionType.TEXT, "a word for the log line, such as above-cow")
                    .withDefault("")
                    .first());

    /** Takes the settings out of checked options. */
    static CountConfig of(OptionValues values) {
        return new CountConfig(values.text("label"));
    }
}

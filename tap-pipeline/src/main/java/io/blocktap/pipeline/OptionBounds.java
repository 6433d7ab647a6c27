package io.blocktap.pipeline;

import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.OptionParser;
import io.blocktap.pipeline.config.OptionValues;
import java.time.Duration;

/** Reads options that have bounds, for factories of stages and taps; a value outside of them is refused with a line that tells them. */
public final class OptionBounds {
    private OptionBounds() {}

    /**
     * Returns the value of a {@link io.blocktap.pipeline.config.OptionType#NUMBER}.
     *
     * @throws StageException if it is not {@code least} to {@code most}
     */
    public static int number(OptionValues values, String name, int least, int most) throws StageException {
        long value = values.number(name);
        if (value < least || value > most) {
            throw new StageException(values.owner() + ": " + name + "=" + value + ": it is " + least + " to " + most);
        }
        return (int) value;
    }

    /**
     * Returns the value of a {@link io.blocktap.pipeline.config.OptionType#DURATION}.
     *
     * @param least as a user would write it: {@code 100ms}
     * @param most likewise: {@code 60min}
     * @throws StageException if it is not {@code least} to {@code most}
     */
    public static Duration duration(OptionValues values, String name, String least, String most) throws StageException {
        Duration value = values.duration(name);
        if (value.compareTo(parsed(least)) < 0 || value.compareTo(parsed(most)) > 0) {
            throw new StageException(
                    values.owner() + ": " + name + " of " + value.toMillis() + " ms: it is " + least + " to " + most);
        }
        return value;
    }

    private static Duration parsed(String text) {
        try {
            return OptionParser.duration(text);
        } catch (ConfigException e) {
            throw new IllegalArgumentException(text, e);
        }
    }
}

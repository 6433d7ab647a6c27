package io.blocktap.pipeline;

import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;

/**
 * Makes stages of one kind. Contributed by a Guice module ({@link StageModule}) or, in a plugin jar, by
 * {@link java.util.ServiceLoader}.
 */
public interface StageFactory {
    /** Where a stage may stand in a chain. */
    enum Kind {
        /** Anywhere but at the end. */
        INTERPOSER,
        /** At the end. */
        TERMINATOR
    }

    /** Returns the name in chains: lower case letters, digits and dashes. */
    String name();

    /** Returns where it may stand. */
    Kind kind();

    /** Returns one sentence for {@code blocktap stages}. */
    String summary();

    /** Returns the options it takes. The first may stand without its key if it says so. */
    List<OptionSpec> options();

    /**
     * Makes a stage; it is opened later. Must not touch files or the network.
     *
     * @param values the options' values, complete and of the declared types
     * @throws StageException if the values contradict each other
     */
    Stage create(OptionValues values) throws StageException;
}

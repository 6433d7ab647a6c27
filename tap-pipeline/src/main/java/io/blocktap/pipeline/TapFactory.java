package io.blocktap.pipeline;

import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import io.netty.channel.EventLoop;
import java.util.List;

/** Opens taps of one kind. Contributed by a Guice module ({@link StageModule#bindTap}). */
public interface TapFactory {
    /** Returns the name for {@code --tap}. */
    String name();

    /** Returns one sentence for {@code --help}. */
    String summary();

    /** Returns the options it takes, in the same grammar as a stage's. */
    List<OptionSpec> options();

    /**
     * Checks what the options' types do not say: values that rule each other out, ranges. Touches no files and no network, so that a
     * configuration can be checked where it is not served.
     *
     * @param values the options' values, complete and of the declared types
     * @throws StageException if {@link #open} could not succeed with these values anywhere
     */
    default void check(OptionValues values) throws StageException {}

    /**
     * Returns whether a tap with these options can have chains opened that are not in the configuration, and so makes sense in a server without disks.
     *
     * @param values the options' values
     */
    default boolean opensChains(OptionValues values) {
        return false;
    }

    /**
     * Looks whether the tap could be opened on this machine, for {@code blocktap doctor}. Leaves nothing behind. May wait; not on an event loop.
     *
     * @param loop where what needs one may look
     * @return one entry for each thing that it needs, there or not
     */
    default List<TapCheck> examine(EventLoop loop) {
        return List.of();
    }

    /**
     * Opens the tap: from now on frontends may connect. On a thread that may wait.
     *
     * @param values the options' values
     * @param disks what may be connected to
     * @param loops where its channels run
     * @throws StageException if it can not be opened: what failed, the values, what to do
     */
    Tap open(OptionValues values, DiskRegistry disks, TapLoops loops) throws StageException;
}

package io.blocktap.pipeline;

import org.jspecify.annotations.Nullable;

/**
 * One opened stage of a disk's chain: an interposer or, at the end, a terminator.
 *
 * <p>A stage takes part in what its class implements: {@link RequestHook}, {@link ResponseHook}, {@link ControlHook}; the chain
 * skips it for the rest. A terminator implements at least {@link RequestHook} and never returns {@link Verdict#PASS}.
 */
public interface Stage extends AutoCloseable {
    /** Which event loops may call the hooks. */
    enum Sharing {
        /** One: the disk pins all its channels to it. Hooks need no locks. */
        ONE_LOOP,
        /** Several at a time: the stage is thread-safe, and its disk's channels may be spread. */
        THREAD_SAFE
    }

    /**
     * Opens what the stage works on. Called once, before any request, on a thread that may wait.
     *
     * @param context the stage's surroundings
     * @param below what the stage below offers; null for a terminator
     * @return what this stage offers to the one above
     * @throws StageException if it can not be opened: what failed, the values, and what to do
     */
    Geometry open(StageContext context, @Nullable Geometry below) throws StageException;

    /** Returns which event loops may call the hooks; {@link Sharing#ONE_LOOP} unless overridden. */
    default Sharing sharing() {
        return Sharing.ONE_LOOP;
    }

    /**
     * Gives back what {@link #open} took. Called once, after the last request was answered and the disk was flushed, on a thread that
     * may wait; also after a failed {@link #open} of a stage above. Not called when this stage's own {@code open} failed.
     */
    @Override
    void close() throws StageException;
}

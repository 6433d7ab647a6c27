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

    /**
     * Says what becomes of this stage's size when the one below changes. Nothing has changed yet, and a control hook may still refuse it: a stage that has something to do
     * does it in {@link ControlHook#onControl} when {@link ControlMessage.Resize} comes, and undoes it when that is withdrawn.
     *
     * <p>Unless overridden, a stage that shows what is below exactly as it is goes on to do so; any other keeps its size, so nobody above hears of the change. A stage that keeps
     * something for each block of what is below (a map, a log) overrides it even if it shows the disk as it is: it keeps its size, or makes room.
     *
     * <p>On the disk's home loop: must not wait. Not for terminators; their own news they tell by {@link StageContext#resize}, as any stage may.
     *
     * @param own what this stage offers
     * @param belowWas what the stage below has offered so far
     * @param below what it is to offer; only the size differs
     * @return the size in bytes that this stage is to offer
     */
    default long belowResized(Geometry own, Geometry belowWas, Geometry below) {
        return own.equals(belowWas) ? below.sizeBytes() : own.sizeBytes();
    }

    /**
     * Returns whether nothing but READs goes from this stage to those below; false unless overridden. Those are then {@linkplain StageContext#isReadOnly told} that they need not be able to write: others may
     * share what they read. Asked before any stage is opened.
     */
    default boolean onlyReadsBelow() {
        return false;
    }

    /**
     * Returns whether it only looks: each request goes on below as it came, and the answer comes up as it was, so nobody above can tell that it is there; false unless overridden. {@link StageContext#below}
     * looks past such stages.
     */
    default boolean isTransparent() {
        return false;
    }

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

package io.blocktap.pipeline;

/** Hears of sessions, changes of size and the end, and may refuse. */
@FunctionalInterface
public interface ControlHook {
    /**
     * Handles one control message, on the way down from the tap. Must not wait.
     *
     * @throws RefusedException to refuse it, with a reason for whoever asked; the stages above are told by {@link
     *     ControlMessage.Withdrawn}. Messages that only tell what has happened already can not be refused; the exception is logged then
     */
    void onControl(ControlMessage message) throws RefusedException;
}

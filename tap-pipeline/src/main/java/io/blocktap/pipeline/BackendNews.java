package io.blocktap.pipeline;

/** Takes news of a stage's backend to its disk. {@link StageContext#backend} tells the rules. */
@FunctionalInterface
public interface BackendNews {
    /** Sends the news down the chain. Any thread; never waits. */
    void tell(ControlMessage.Backend news);
}

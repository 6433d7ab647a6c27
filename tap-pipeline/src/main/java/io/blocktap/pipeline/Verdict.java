package io.blocktap.pipeline;

/** What a request hook decided. */
public enum Verdict {
    /** Go on to the next stage. */
    PASS,
    /** This request is answered ({@link BlockRequest#respond}); the response goes back up. */
    RESPOND,
    /**
     * The hook keeps the request. It must later call {@link BlockRequest#complete} or {@link BlockRequest#resume}, once,
     * from any thread.
     */
    STOLEN
}

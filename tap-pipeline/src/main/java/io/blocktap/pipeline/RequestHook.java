package io.blocktap.pipeline;

/** Looks at, changes or answers requests on their way down. */
@FunctionalInterface
public interface RequestHook {
    /**
     * Handles one request. Runs on the request's event loop and must not wait. What it throws fails this request with
     * {@link BlockStatus#IO_ERROR} and is logged; nothing else is concerned.
     *
     * @return what is to happen; after {@link Verdict#STOLEN} the request may be touched only until it is completed
     */
    Verdict onRequest(BlockRequest request) throws Exception;
}

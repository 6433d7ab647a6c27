package io.blocktap.pipeline;

/** Looks at or changes responses on their way up. Sees exactly the requests that the stage's request hook has seen and not answered itself. */
@FunctionalInterface
public interface ResponseHook {
    /**
     * Handles one response. Runs on the request's event loop and must not wait. What it throws turns the response into
     * {@link BlockStatus#IO_ERROR} and is logged.
     */
    void onResponse(BlockResponse response) throws Exception;
}

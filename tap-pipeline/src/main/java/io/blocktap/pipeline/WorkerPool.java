package io.blocktap.pipeline;

/**
 * A bounded set of threads for work that may wait. Completions come back to each request's event loop in batches.
 *
 * <p>Any thread. The number of requests waiting is bounded by the taps' limits on requests in flight, so submitting never fails
 * and never waits.
 */
public interface WorkerPool extends AutoCloseable {
    /** Work on one request. Stages keep one instance for each kind of work, so that submitting allocates nothing. */
    @FunctionalInterface
    interface Work {
        /**
         * Does the work; may wait. What it throws completes the request with {@link BlockStatus#IO_ERROR} and is logged.
         *
         * @return how the request ended
         */
        BlockStatus perform(BlockRequest request) throws Exception;
    }

    /**
     * Queues a request that the calling hook is about to report as {@link Verdict#STOLEN}. It is completed with what the work returns.
     */
    void submit(BlockRequest request, Work work);

    /** Runs a task that belongs to no request. For rare work; the queue of tasks is not bounded. */
    void execute(Runnable task);

    /** Ends the threads after what is queued was done. */
    @Override
    void close();
}

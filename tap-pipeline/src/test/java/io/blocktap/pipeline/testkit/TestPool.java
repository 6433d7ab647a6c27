package io.blocktap.pipeline.testkit;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.WorkerPool;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The simplest pool that keeps the contract of {@link WorkerPool}. */
public final class TestPool implements WorkerPool {
    private static final Logger LOG = LoggerFactory.getLogger(TestPool.class);

    private final ExecutorService executor;

    /** Makes a pool of so many threads. */
    public TestPool(int threads) {
        executor = Executors.newFixedThreadPool(threads);
    }

    @Override
    public void submit(BlockRequest request, Work work) {
        executor.execute(() -> {
            BlockStatus status;
            try {
                status = work.perform(request);
            } catch (Exception e) {
                LOG.error("work on {} failed", request, e);
                status = BlockStatus.IO_ERROR;
            }
            request.complete(status);
        });
    }

    @Override
    public void execute(Runnable task) {
        executor.execute(task);
    }

    @Override
    public void close() {
        executor.shutdown();
        try {
            if (!executor.awaitTermination(10, TimeUnit.SECONDS)) {
                throw new AssertionError("work hangs in the pool");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}

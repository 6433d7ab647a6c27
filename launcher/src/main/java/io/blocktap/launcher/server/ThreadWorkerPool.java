package io.blocktap.launcher.server;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.WorkerPool;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A pool on the JDK's executor. */
final class ThreadWorkerPool implements WorkerPool {
    private static final Logger LOG = LoggerFactory.getLogger(ThreadWorkerPool.class);

    private final ExecutorService threads;

    ThreadWorkerPool(int count) {
        AtomicInteger made = new AtomicInteger();
        threads = Executors.newFixedThreadPool(
                count, task -> new Thread(task, "blocktap-worker-" + made.incrementAndGet()));
    }

    @Override
    public void submit(BlockRequest request, Work work) {
        threads.execute(() -> perform(request, work));
    }

    private static void perform(BlockRequest request, Work work) {
        BlockStatus status;
        try {
            status = work.perform(request);
        } catch (Exception e) {
            LOG.error("{} failed", request, e);
            status = BlockStatus.IO_ERROR;
        }
        request.complete(status);
    }

    @Override
    public void execute(Runnable task) {
        threads.execute(task);
    }

    @Override
    public void close() {
        threads.shutdown();
        try {
            while (!threads.awaitTermination(1, TimeUnit.MINUTES)) {
                LOG.warn("still waiting for workers to end");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}

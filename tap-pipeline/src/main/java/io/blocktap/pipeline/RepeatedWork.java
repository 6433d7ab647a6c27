package io.blocktap.pipeline;

import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Work that a stage has done again and again: an event loop knows when, a worker does it. A period allocates nothing.
 *
 * <p>Any thread, but {@link #close} may wait.
 */
public final class RepeatedWork implements AutoCloseable {
    private final WorkerPool workers;
    private final Runnable work;
    private final AtomicBoolean isQueued = new AtomicBoolean();
    private final Runnable perform = this::perform;
    private final ScheduledFuture<?> timer;
    private boolean isClosed;

    RepeatedWork(ScheduledExecutorService timers, WorkerPool workers, long periodMillis, Runnable work) {
        this.workers = workers;
        this.work = work;
        this.timer = timers.scheduleWithFixedDelay(this::isTime, periodMillis, periodMillis, TimeUnit.MILLISECONDS);
    }

    /** On an event loop. */
    private void isTime() {
        if (isQueued.compareAndSet(false, true)) {
            workers.execute(perform);
        }
    }

    /** On a worker. */
    private void perform() {
        isQueued.set(false);
        synchronized (this) {
            if (!isClosed) {
                try {
                    work.run();
                } catch (RuntimeException e) {
                    Logs.CHAIN.error("repeated work of a stage failed", e);
                }
            }
        }
    }

    /** Ends it, after waiting for the work if it is being done. */
    @Override
    public void close() {
        timer.cancel(false);
        synchronized (this) {
            isClosed = true;
        }
    }
}

package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.WorkerPool;

/** Work on an image that no request waits for, or several do: it has ended when the image is closed. Any thread. */
final class BackgroundWork implements AutoCloseable {
    private final WorkerPool workers;
    private int underWay;
    private boolean isClosed;

    BackgroundWork(WorkerPool workers) {
        this.workers = workers;
    }

    /** Has something done soon, unless this is closed. */
    void execute(Runnable task) {
        synchronized (this) {
            if (isClosed) {
                return;
            }
            underWay++;
        }
        boolean isQueued = false;
        try {
            workers.execute(() -> {
                try {
                    task.run();
                } finally {
                    end();
                }
            });
            isQueued = true;
        } finally {
            if (!isQueued) {
                end();
            }
        }
    }

    private synchronized void end() {
        underWay--;
        notifyAll();
    }

    /** Returns when nothing is under way any more. */
    @Override
    public synchronized void close() {
        isClosed = true;
        boolean wasInterrupted = false;
        while (underWay > 0) {
            try {
                wait();
            } catch (InterruptedException e) {
                wasInterrupted = true;
            }
        }
        if (wasInterrupted) {
            Thread.currentThread().interrupt();
        }
    }
}

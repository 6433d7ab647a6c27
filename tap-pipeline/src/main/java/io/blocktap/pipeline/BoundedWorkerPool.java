package io.blocktap.pipeline;

import java.util.ArrayDeque;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A fixed number of threads over one queue. Requests are linked through themselves, so submitting allocates nothing.
 *
 * <p>Waking a thread costs more than most of the work that it is woken for (25 to 40 us on a virtual machine, against 2 us for a write to the page cache). So
 * at most one wake-up is under way at a time; the thread that comes takes one piece of work and wakes the next only if more is waiting. The one that went idle last is woken
 * first: its caches are the warmest.
 *
 * <p>Any thread, event loops included: the lock is held for a few instructions.
 */
public final class BoundedWorkerPool implements WorkerPool {
    private final ReentrantLock lock = new ReentrantLock();
    private final Worker[] workers;

    // All below: under the lock.
    private final Worker[] idle;
    private int idleCount;
    private final Queue<Runnable> tasks = new ArrayDeque<>();
    private @Nullable BlockRequest head;
    private @Nullable BlockRequest tail;
    private boolean taskIsNext;
    private boolean waking;
    private boolean closed;

    /** Starts a number of daemon threads, {@code blocktap-worker-1} and so on. */
    public BoundedWorkerPool(int threadCount) {
        if (threadCount < 1) {
            throw new IllegalArgumentException(threadCount + " worker threads; at least 1 is needed");
        }
        workers = new Worker[threadCount];
        idle = new Worker[threadCount];
        for (int i = 0; i < threadCount; i++) {
            workers[i] = new Worker(i + 1);
        }
        for (Worker worker : workers) {
            worker.thread.start();
        }
    }

    @Override
    public void submit(BlockRequest request, Work work) {
        request.work = work;
        request.next = null;
        Worker woken;
        lock.lock();
        try {
            refuseIfClosed();
            if (tail == null) {
                head = request;
            } else {
                tail.next = request;
            }
            tail = request;
            woken = chooseToWake();
        } finally {
            lock.unlock();
        }
        wake(woken);
    }

    @Override
    public void execute(Runnable task) {
        Worker woken;
        lock.lock();
        try {
            refuseIfClosed();
            tasks.add(task);
            woken = chooseToWake();
        } finally {
            lock.unlock();
        }
        wake(woken);
    }

    private void refuseIfClosed() {
        if (closed) {
            throw new IllegalStateException("the worker pool is closed");
        }
    }

    /** Under the lock: takes a thread off the idle ones, unless one is on its way already. To be woken outside of the lock, for which it would wait otherwise. */
    private @Nullable Worker chooseToWake() {
        if (idleCount == 0 || waking) {
            return null;
        }
        waking = true;
        return idle[--idleCount];
    }

    private static void wake(@Nullable Worker worker) {
        if (worker != null) {
            worker.wake();
        }
    }

    /** Under the lock: takes a task and a request by turns, so that neither waits for the end of the other kind. */
    private @Nullable Runnable pollTask() {
        boolean takeTask = head == null || taskIsNext && !tasks.isEmpty();
        taskIsNext = !takeTask;
        return takeTask ? tasks.poll() : null;
    }

    private BlockRequest pollRequest() {
        BlockRequest first = Objects.requireNonNull(head);
        head = first.next;
        if (head == null) {
            tail = null;
        }
        first.next = null;
        return first;
    }

    private boolean isEmpty() {
        return head == null && tasks.isEmpty();
    }

    private static void perform(BlockRequest request) {
        BlockStatus status;
        try {
            status = Objects.requireNonNull(request.work).perform(request);
        } catch (Throwable t) {
            Logs.CHAIN.error("work on {} failed; it is answered with an I/O error", request, t);
            status = BlockStatus.IO_ERROR;
        }
        try {
            request.complete(status);
        } catch (RuntimeException e) {
            // Answered by somebody else as well: a stage's mistake, which must not cost a thread.
            Logs.CHAIN.error("{}", e.getMessage(), e);
        }
    }

    private static void perform(Runnable task) {
        try {
            task.run();
        } catch (Throwable t) {
            Logs.CHAIN.error("a task of the worker pool failed", t);
        }
    }

    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            while (idleCount > 0) {
                idle[--idleCount].wake();
            }
        } finally {
            lock.unlock();
        }
        boolean interrupted = false;
        for (Worker worker : workers) {
            while (worker.thread.isAlive()) {
                try {
                    worker.thread.join();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private final class Worker implements Runnable {
        private final Thread thread;
        private volatile boolean woken;

        Worker(int number) {
            thread = new Thread(this, "blocktap-worker-" + number);
            thread.setDaemon(true);
        }

        void wake() {
            woken = true;
            LockSupport.unpark(thread);
        }

        @Override
        public void run() {
            while (true) {
                Runnable task;
                BlockRequest request = null;
                Worker next = null;
                lock.lock();
                try {
                    while (isEmpty()) {
                        if (closed) {
                            return;
                        }
                        idle[idleCount++] = this;
                        awaitWake();
                    }
                    task = pollTask();
                    if (task == null) {
                        request = pollRequest();
                    }
                    if (!isEmpty()) {
                        next = chooseToWake();
                    }
                } finally {
                    lock.unlock();
                }
                BoundedWorkerPool.wake(next);
                if (request != null) {
                    perform(request);
                } else if (task != null) {
                    perform(task);
                }
            }
        }

        /** Waits without the lock, which is held before and after. */
        private void awaitWake() {
            lock.unlock();
            try {
                while (!woken) {
                    LockSupport.park(BoundedWorkerPool.this);
                    // An interrupt of a task's making would let park return at once, for ever.
                    boolean ignored = Thread.interrupted();
                }
                woken = false;
            } finally {
                lock.lock();
                waking = false;
            }
        }
    }
}

package io.blocktap.pipeline;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A fixed number of threads over one queue. Requests are linked through themselves, so submitting allocates nothing.
 *
 * <p>Waking a thread costs more than most of the work that it is woken for (25 to 40 us on a virtual machine, against 2 us for a write to the page cache). So at most one
 * wake-up is under way at a time, and a thread that takes work wakes the next one only if more is waiting.
 */
public final class BoundedWorkerPool implements WorkerPool {
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition workArrived = lock.newCondition();
    private final List<Thread> threads = new ArrayList<>();
    private final Queue<Runnable> tasks = new ArrayDeque<>();
    private @Nullable BlockRequest head;
    private @Nullable BlockRequest tail;
    private int idle;
    private boolean waking;
    private boolean closed;

    /** Starts a number of daemon threads. */
    public BoundedWorkerPool(int threadCount) {
        if (threadCount < 1) {
            throw new IllegalArgumentException(threadCount + " worker threads; at least 1 is needed");
        }
        for (int i = 0; i < threadCount; i++) {
            Thread thread = new Thread(this::run, "blocktap-worker-" + (i + 1));
            thread.setDaemon(true);
            threads.add(thread);
            thread.start();
        }
    }

    @Override
    public void submit(BlockRequest request, Work work) {
        request.work = work;
        request.next = null;
        lock.lock();
        try {
            refuseIfClosed();
            if (tail == null) {
                head = request;
            } else {
                tail.next = request;
            }
            tail = request;
            wakeOne();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void execute(Runnable task) {
        lock.lock();
        try {
            refuseIfClosed();
            tasks.add(task);
            wakeOne();
        } finally {
            lock.unlock();
        }
    }

    private void refuseIfClosed() {
        if (closed) {
            throw new IllegalStateException("the worker pool is closed");
        }
    }

    private void wakeOne() {
        if (idle > 0 && !waking) {
            waking = true;
            workArrived.signal();
        }
    }

    private void run() {
        while (true) {
            BlockRequest request;
            Runnable task = null;
            lock.lock();
            try {
                while (head == null && tasks.isEmpty()) {
                    if (closed) {
                        return;
                    }
                    idle++;
                    workArrived.awaitUninterruptibly();
                    idle--;
                    waking = false;
                }
                request = head;
                if (request != null) {
                    head = request.next;
                    if (head == null) {
                        tail = null;
                    }
                    request.next = null;
                } else {
                    task = tasks.poll();
                }
                if (head != null || !tasks.isEmpty()) {
                    wakeOne();
                }
            } finally {
                lock.unlock();
            }
            if (request != null) {
                perform(request);
            } else if (task != null) {
                perform(task);
            }
        }
    }

    private static void perform(BlockRequest request) {
        BlockStatus status;
        try {
            status = java.util.Objects.requireNonNull(request.work).perform(request);
        } catch (Throwable t) {
            Logs.CHAIN.error("work on {} failed; it is answered with an I/O error", request, t);
            status = BlockStatus.IO_ERROR;
        }
        request.complete(status);
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
            workArrived.signalAll();
        } finally {
            lock.unlock();
        }
        boolean interrupted = false;
        for (Thread thread : threads) {
            while (thread.isAlive()) {
                try {
                    thread.join();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}

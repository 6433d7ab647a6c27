package io.blocktap.pipeline;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * Work of one kind that one thread of the pool at a time does, in the order in which it came.
 *
 * <p>For work that excludes itself anyway, such as cached writes of one file, which all take the file's lock: several threads would only wait for each other. One wakes
 * up once, does all that is there, and answers in batches, so that the event loop wakes up once, too. That is what makes short work quick: a wake-up
 * costs ten times what a write to the page cache does.
 *
 * <p>Any thread may submit. Nothing is allocated: requests are linked through themselves.
 */
public final class SerialLane {
    /** How the work counts. */
    public enum Answers {
        /** It is done for each request. */
        EACH,
        /** Done once, after they all had come, it answers all that are waiting: a flush. */
        ALL_WAITING
    }

    /** Answers are held back until there are so many of them ... */
    private static final int BATCH_REQUESTS = 32;
    /** ... or so much was moved for them. */
    private static final long BATCH_BYTES = 256 << 10;
    /** Then the thread queues up again behind the pool's other work. */
    private static final int ROUNDS = 16;

    private static final VarHandle INBOX;

    static {
        try {
            INBOX = MethodHandles.lookup().findVarHandle(SerialLane.class, "inbox", BlockRequest.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final WorkerPool pool;
    private final WorkerPool.Work work;
    private final Answers answers;
    private final Runnable run = this::run;
    private final AtomicBoolean scheduled = new AtomicBoolean();
    private final BlockRequest[] done = new BlockRequest[BATCH_REQUESTS];
    private final BlockStatus[] statuses = new BlockStatus[BATCH_REQUESTS];
    private int doneCount;

    @SuppressWarnings("unused") // through INBOX
    private volatile @Nullable BlockRequest inbox;

    /** Makes a lane; it holds no thread while there is nothing to do. */
    public SerialLane(WorkerPool pool, WorkerPool.Work work, Answers answers) {
        this.pool = pool;
        this.work = work;
        this.answers = answers;
    }

    /** Queues a request that the calling hook is about to report as {@link Verdict#STOLEN}. It is completed with what the work returns. */
    public void submit(BlockRequest request) {
        BlockRequest newest;
        do {
            newest = inbox;
            request.next = newest;
        } while (!INBOX.compareAndSet(this, newest, request));
        schedule();
    }

    private void schedule() {
        if (!scheduled.get() && scheduled.compareAndSet(false, true)) {
            pool.execute(run);
        }
    }

    /** On a thread of the pool, one at a time: {@link #scheduled} hands everything over from one to the next. */
    private void run() {
        for (int round = 0; round < ROUNDS; round++) {
            BlockRequest newestFirst = (BlockRequest) INBOX.getAndSet(this, null);
            if (newestFirst == null) {
                endOrGoOn();
                return;
            }
            BlockRequest oldestFirst = reversed(newestFirst);
            if (answers == Answers.EACH) {
                doEach(oldestFirst);
            } else {
                doForAll(oldestFirst);
            }
        }
        endOrGoOn();
    }

    /** In this order: who submits after the look finds it unscheduled. The pool is not asked for without need: when all is answered it may be closed. */
    private void endOrGoOn() {
        scheduled.set(false);
        if (inbox != null) {
            schedule();
        }
    }

    private static BlockRequest reversed(BlockRequest newestFirst) {
        BlockRequest before = newestFirst;
        BlockRequest current = newestFirst.next;
        newestFirst.next = null;
        while (current != null) {
            BlockRequest following = current.next;
            current.next = before;
            before = current;
            current = following;
        }
        return before;
    }

    private void doEach(BlockRequest oldest) {
        BlockRequest request = oldest;
        long moved = 0;
        while (request != null) {
            BlockRequest following = request.next;
            request.next = null;
            moved += request.lengthBytes();
            done[doneCount] = request;
            statuses[doneCount++] = perform(request);
            if (doneCount == BATCH_REQUESTS || moved >= BATCH_BYTES) {
                answer();
                moved = 0;
            }
            request = following;
        }
        answer();
    }

    private void answer() {
        for (int i = 0; i < doneCount; i++) {
            complete(done[i], statuses[i]);
        }
        doneCount = 0;
    }

    private void doForAll(BlockRequest oldest) {
        BlockStatus status = perform(oldest);
        BlockRequest request = oldest;
        while (request != null) {
            BlockRequest following = request.next;
            request.next = null;
            complete(request, status);
            request = following;
        }
    }

    private BlockStatus perform(BlockRequest request) {
        try {
            return work.perform(request);
        } catch (Throwable t) {
            Logs.CHAIN.error("work on {} failed; it is answered with an I/O error", request, t);
            return BlockStatus.IO_ERROR;
        }
    }

    private static void complete(BlockRequest request, BlockStatus status) {
        try {
            request.complete(status);
        } catch (RuntimeException e) {
            // Answered by somebody else as well: a stage's mistake, for which the others must not pay.
            Logs.CHAIN.error("{}", e.getMessage(), e);
        }
    }
}

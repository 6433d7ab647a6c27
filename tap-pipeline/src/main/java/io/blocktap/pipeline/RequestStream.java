package io.blocktap.pipeline;

import io.blocktap.transport.memory.SlabAllocator;
import io.netty.channel.EventLoop;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayDeque;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;

/**
 * One stream of requests into a disk: it makes and recycles them, walks each down the chain, and its response up again.
 *
 * <p>A tap channel has one (in its {@link ChainHandler}); stages that issue requests of their own may have more. Everything but {@link
 * #post} is confined to the stream's event loop, so there is no lock and, in steady state, no allocation on the path.
 */
public final class RequestStream {
    /** Where answered requests go: the tap. */
    public interface Sink {
        /**
         * Takes a response, after the hooks have seen it. The request is recycled when this returns; a tap that still needs its data
         * takes them ({@link BlockRequest#takeData}).
         */
        void answer(BlockResponse response);

        /** Called when responses were given outside of a turn of reading: show them to the frontend. */
        void flush();
    }

    private static final VarHandle POSTS;

    static {
        try {
            POSTS = MethodHandles.lookup().findVarHandle(RequestStream.class, "posts", BlockRequest.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final Session session;
    /** With assertions on, an answered request is not used again before so many others are: who answers it once more, late, does not answer another one, and is told. */
    private static final int RESTING = areAssertionsOn() ? 32 : 0;

    private final int number;
    private final EventLoop loop;
    private final SlabAllocator memory;
    private final Sink sink;
    private final StreamCounters counters = new StreamCounters();
    private final HookFailures failures;
    private final Runnable carryOutPosts = this::carryOutPosts;
    private final Runnable flushLater = this::flushLater;
    private BlockRequest[] pool = new BlockRequest[32];
    private int pooled;
    private Chain chain;
    private Admission admission;
    private int inFlight;
    private int held;
    private long submitted;
    private boolean inTurn;
    private boolean flushScheduled;
    private final ArrayDeque<Retirement> retirements = new ArrayDeque<>();
    private @Nullable Runnable whenIdle;

    @SuppressWarnings("unused") // through POSTS
    private volatile @Nullable BlockRequest posts;

    /** An old chain that some requests still use, and what to do when none does. */
    private record Retirement(Chain chain, int[] inFlight, Runnable whenUnused) {}

    RequestStream(Session session, EventLoop loop, SlabAllocator memory, Sink sink, Chain chain, Admission admission) {
        this.session = session;
        this.failures = new HookFailures(session.disk().name());
        this.number = session.nextStreamNumber();
        this.loop = loop;
        this.memory = memory;
        this.sink = sink;
        this.chain = chain;
        this.admission = admission;
    }

    @SuppressWarnings({"AssertWithSideEffects", "ConstantValue"})
    private static boolean areAssertionsOn() {
        boolean isOn = false;
        assert isOn = true;
        return isOn;
    }

    /** Returns the session that this stream belongs to. */
    public Session session() {
        return session;
    }

    /** Returns the stream's number in its session, counted from 0; with a request's number it names that request in logs. */
    public int number() {
        return number;
    }

    /** Returns the event loop that the stream is confined to. */
    public EventLoop eventLoop() {
        return loop;
    }

    /** Returns the loop's page-aligned buffers, for request data. On the loop only. */
    public SlabAllocator memory() {
        return memory;
    }

    /** Returns what was counted so far; may be read from any thread. */
    public StreamCounters counters() {
        return counters;
    }

    /** Returns how many requests are on their way. On the loop only. */
    public int inFlight() {
        return inFlight;
    }

    boolean inEventLoop() {
        return loop.inEventLoop();
    }

    // ---- going down

    /** Returns a request to be described and submitted, or given back by {@link #discard}. */
    public BlockRequest newRequest() {
        if (pooled <= RESTING) {
            return new BlockRequest(this);
        }
        return RESTING == 0 ? pool[--pooled] : takeOldest();
    }

    private BlockRequest takeOldest() {
        BlockRequest oldest = pool[0];
        System.arraycopy(pool, 1, pool, 0, --pooled);
        return oldest;
    }

    /**
     * Counts something that the tap has taken from its peer and not submitted yet as on its way, so that a drain waits for it. Each call is ended by one of {@link
     * #letGo}. On the loop only.
     */
    public void hold() {
        held++;
    }

    /** Ends a {@link #hold}, after what was held is submitted or answered. */
    public void letGo() {
        held--;
        if (whenIdle != null) {
            tellIfIdle();
        }
    }

    /** Recycles a request that was not submitted, and releases its data. */
    public void discard(BlockRequest request) {
        request.end();
        recycle(request);
    }

    private void recycle(BlockRequest request) {
        if (pooled == pool.length) {
            pool = java.util.Arrays.copyOf(pool, pooled * 2);
        }
        pool[pooled++] = request;
    }

    /** Tells the stream that a batch of requests begins, so that their responses are flushed once, by {@link #endTurn}. */
    public void beginTurn() {
        inTurn = true;
    }

    /** Ends the batch; the tap flushes its responses itself. */
    public void endTurn() {
        inTurn = false;
    }

    /**
     * Sends a request down the chain, after checking it against the disk's geometry. The answer comes to the stream's sink, perhaps before
     * this returns.
     */
    public void submit(BlockRequest request) {
        inFlight++;
        request.begin(chain, ++submitted);
        BlockStatus refusal = admission.check(request);
        if (refusal != BlockStatus.OK) {
            request.response().setStatus(refusal);
            answer(request);
            return;
        }
        walkDown(request, 0);
    }

    /**
     * Makes a request of a stage's own, on behalf of one that it has stolen or is looking at: for a stage that must read, write or flush below itself first. Describe it, then
     * {@link #submitBelow} it.
     *
     * @param parent the request that the stage holds
     * @param listener keep one for each purpose; then nothing is allocated
     */
    public BlockRequest newRequestBelow(BlockRequest parent, SubRequestListener listener) {
        BlockRequest request = newRequest();
        request.parent = parent;
        request.listener = listener;
        return request;
    }

    /**
     * Sends a request of {@link #newRequestBelow} to the stages below the one that holds its parent, after checking it against what they offer. The answer
     * comes to the listener, perhaps before this returns. On the loop only.
     */
    public void submitBelow(BlockRequest request) {
        BlockRequest parent = request.parent();
        inFlight++;
        request.begin(parent.chain, ++submitted);
        if (request.chain != chain) {
            useAgain(request.chain);
        }
        request.ceiling = parent.position + 1;
        request.position = request.ceiling;
        BlockStatus refusal = parent.chain.admission(request.ceiling).check(request);
        if (refusal != BlockStatus.OK) {
            request.response().setStatus(refusal);
            answer(request);
            return;
        }
        walkDown(request, request.ceiling);
    }

    /**
     * Sends a request of {@link #newRequestBelow} to something of the stage's own, a file for example, instead of the stages below. Nothing is checked: what is asked for is in the target's terms. The
     * answer comes to the listener, perhaps before this returns. On the loop only.
     *
     * @param target answers it, now or later; it does not pass it on
     */
    public void submitTo(RequestHook target, BlockRequest request) {
        BlockRequest parent = request.parent();
        inFlight++;
        request.begin(parent.chain, ++submitted);
        if (request.chain != chain) {
            useAgain(request.chain);
        }
        request.ceiling = parent.position;
        request.position = parent.position;
        Verdict verdict;
        try {
            verdict = target.onRequest(request);
        } catch (Throwable t) {
            failedHook(request, "own request", t);
            answer(request);
            return;
        }
        if (request.state != BlockRequest.WALKING) {
            if (request.state != BlockRequest.ANSWERED_IN_HOOK) {
                request.response().setStatus(BlockStatus.UNSUPPORTED); // nothing stands below that it could go on to
            }
            answer(request);
        } else if (verdict == Verdict.STOLEN) {
            request.state = BlockRequest.STOLEN;
        } else {
            if (verdict == Verdict.PASS) {
                request.response().setStatus(BlockStatus.UNSUPPORTED);
            }
            answer(request);
        }
    }

    private void walkDown(BlockRequest request, int from) {
        Chain itsChain = request.chain;
        int length = itsChain.length();
        for (int position = from; position < length; position++) {
            RequestHook hook = itsChain.requestHook(position);
            if (hook == null) {
                continue;
            }
            request.position = position;
            Verdict verdict;
            try {
                verdict = hook.onRequest(request);
            } catch (Throwable t) {
                failedHook(request, "request", t);
                walkUp(request, position);
                return;
            }
            if (request.state != BlockRequest.WALKING) {
                if (request.state == BlockRequest.ANSWERED_IN_HOOK) {
                    walkUp(request, position);
                    return;
                }
                request.state = BlockRequest.WALKING; // resumed in its hook
            } else if (verdict == Verdict.RESPOND) {
                walkUp(request, position);
                return;
            } else if (verdict == Verdict.STOLEN) {
                request.state = BlockRequest.STOLEN;
                return;
            }
        }
        Logs.CHAIN.error(
                "[{}] nobody answered {}: the last stage passed it on",
                session.disk().name(),
                request);
        request.response().setStatus(BlockStatus.UNSUPPORTED);
        walkUp(request, length);
    }

    // ---- coming up

    void completeInLoop(BlockRequest request, BlockStatus status) {
        switch (request.state) {
            case BlockRequest.WALKING -> {
                request.response().setStatus(status);
                request.state = BlockRequest.ANSWERED_IN_HOOK;
            }
            case BlockRequest.STOLEN -> {
                request.response().setStatus(status);
                walkUp(request, request.position);
                flushIfOutsideTurn();
            }
            default -> throw new IllegalStateException("answered twice: " + request);
        }
    }

    void resumeInLoop(BlockRequest request) {
        switch (request.state) {
            case BlockRequest.WALKING -> request.state = BlockRequest.RESUMED_IN_HOOK;
            case BlockRequest.STOLEN -> {
                request.state = BlockRequest.WALKING;
                walkDown(request, request.position + 1);
                flushIfOutsideTurn();
            }
            default -> throw new IllegalStateException("resumed after its answer: " + request);
        }
    }

    private void walkUp(BlockRequest request, int answeredAt) {
        request.state = BlockRequest.ANSWERING;
        Chain itsChain = request.chain;
        for (int position = answeredAt - 1; position >= request.ceiling; position--) {
            ResponseHook hook = itsChain.responseHook(position);
            if (hook == null) {
                continue;
            }
            request.position = position;
            try {
                hook.onResponse(request.response());
            } catch (Throwable t) {
                failedHook(request, "response", t);
            }
        }
        answer(request);
    }

    private void failedHook(BlockRequest request, String kind, Throwable cause) {
        String what = kind + " hook of " + request.chain.name(request.position);
        failures.log(what, request, "the request is answered with an I/O error", cause);
        request.response().setStatus(BlockStatus.IO_ERROR);
    }

    private void answer(BlockRequest request) {
        request.state = BlockRequest.ANSWERING;
        SubRequestListener listener = request.listener;
        try {
            if (listener != null) {
                listener.onAnswer(request.response());
            } else {
                counters.count(request);
                sink.answer(request.response());
            }
        } catch (Throwable t) {
            failures.log(listener == null ? "tap" : "stage", request, "its answer may be lost", t);
        }
        Chain itsChain = request.chain;
        request.end();
        recycle(request);
        inFlight--;
        if (itsChain != chain) {
            retire(itsChain);
        }
        if (whenIdle != null) {
            tellIfIdle();
        }
    }

    private void tellIfIdle() {
        if (isIdle()) {
            sink.flush(); // whoever hears that all is answered may close the tap at once
        }
        if (isIdle() && whenIdle != null) { // a flush may begin what waited for the answers
            Runnable task = whenIdle;
            whenIdle = null;
            task.run();
        }
    }

    private boolean isIdle() {
        return inFlight == 0 && held == 0;
    }

    private void flushIfOutsideTurn() {
        if (!inTurn && !flushScheduled) {
            flushScheduled = true;
            loop.execute(flushLater);
        }
    }

    private void flushLater() {
        flushScheduled = false;
        sink.flush();
    }

    // ---- answers from other threads

    /** Hands over a request from another thread; the first of a batch wakes the loop. */
    void post(BlockRequest request) {
        BlockRequest head;
        do {
            head = posts;
            request.next = head;
        } while (!POSTS.compareAndSet(this, head, request));
        if (head == null) {
            try {
                loop.execute(carryOutPosts);
            } catch (RejectedExecutionException e) {
                Logs.DISK.debug("an answer has come after its event loop has ended: the drain was not in time");
            }
        }
    }

    private void carryOutPosts() {
        BlockRequest newestFirst = (BlockRequest) POSTS.getAndSet(this, null);
        BlockRequest oldestFirst = null;
        while (newestFirst != null) {
            BlockRequest following = newestFirst.next;
            newestFirst.next = oldestFirst;
            oldestFirst = newestFirst;
            newestFirst = following;
        }
        boolean nested = inTurn;
        inTurn = true;
        while (oldestFirst != null) {
            BlockRequest following = oldestFirst.next;
            oldestFirst.next = null;
            try {
                oldestFirst.carryOutPosted();
            } catch (Throwable e) {
                // Answered by two threads: a stage's mistake, for which the others in the batch must not pay.
                Logs.CHAIN.error("[{}] {}", session.disk().name(), e.getMessage(), e);
            }
            oldestFirst = following;
        }
        inTurn = nested;
        sink.flush();
    }

    // ---- changes of the chain, and the end

    /** On the loop: requests from now on use another chain. */
    void switchTo(Chain newChain, Admission newAdmission, Runnable whenOldUnused) {
        Chain old = chain;
        chain = newChain;
        admission = newAdmission;
        int remaining = inFlight;
        for (Retirement retirement : retirements) {
            remaining -= retirement.inFlight[0];
        }
        if (remaining == 0 && retirements.isEmpty()) {
            whenOldUnused.run();
        } else {
            retirements.add(new Retirement(old, new int[] {remaining}, whenOldUnused));
        }
    }

    /** One more request is on its way in a chain that was replaced. */
    private void useAgain(Chain old) {
        for (Retirement retirement : retirements) {
            if (retirement.chain == old) {
                retirement.inFlight[0]++;
                return;
            }
        }
    }

    private void retire(Chain old) {
        for (Retirement retirement : retirements) {
            if (retirement.chain == old) {
                retirement.inFlight[0]--;
                break;
            }
        }
        // In order: a stage that was removed with one chain may stand in older ones, too.
        Retirement oldest = retirements.peek();
        while (oldest != null && oldest.inFlight[0] == 0) {
            retirements.remove();
            oldest.whenUnused.run();
            oldest = retirements.peek();
        }
    }

    /** On the loop: runs a task once, as soon as no request is held or on its way and all answers are flushed; at once if none is. */
    public void whenIdle(Runnable task) {
        if (isIdle()) {
            task.run();
        } else {
            Runnable before = whenIdle;
            whenIdle = before == null
                    ? task
                    : () -> {
                        before.run();
                        task.run();
                    };
        }
    }
}

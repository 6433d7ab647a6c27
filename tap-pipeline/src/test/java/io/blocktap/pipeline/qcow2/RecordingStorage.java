package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Verdict;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.LongPredicate;
import org.jspecify.annotations.Nullable;

/** An image's storage in memory, which remembers what was done to it, and may answer late and in any order. */
class RecordingStorage implements ImageStorage {
    /** What was done. */
    enum Kind {
        WRITE,
        DISCARD,
        /** All events before {@link Event#covers} are stable. */
        SYNC
    }

    /**
     * One thing that was done.
     *
     * @param clock when
     * @param covers of a SYNC: how many events had been when it began
     */
    record Event(Kind kind, long clock, long offset, byte[] bytes, int covers) {}

    private final AtomicLong clock;
    private final Random random;
    private final boolean isLate;
    private final ExecutorService answers = Executors.newFixedThreadPool(3);
    private final List<Event> events = new ArrayList<>();
    private final SparseBytes content;
    /** Says of each write, counted from 1, whether it fails for want of space. */
    private volatile LongPredicate writeFails = number -> false;

    private final AtomicInteger inFlight = new AtomicInteger();
    private final AtomicInteger mostInFlight = new AtomicInteger();
    private volatile boolean syncFails;
    private long writes;
    /** Completed with the next request of an event loop, which is not answered until {@link #answer}. */
    private final AtomicReference<@Nullable CompletableFuture<BlockRequest>> holder = new AtomicReference<>();

    /** @param isLate whether requests are answered by other threads, in another order */
    RecordingStorage(SparseBytes content, AtomicLong clock, long seed, boolean isLate) {
        this.content = content;
        this.clock = clock;
        this.random = new Random(seed);
        this.isLate = isLate;
    }

    void failWrites(LongPredicate which) {
        writeFails = which;
    }

    void failSyncs(boolean fail) {
        syncFails = fail;
    }

    /** Has the next transfer held until {@link #answer}. Returns its request, when it has come. */
    CompletableFuture<BlockRequest> holdNext() {
        CompletableFuture<BlockRequest> held = new CompletableFuture<>();
        holder.set(held);
        return held;
    }

    /** Does what a held request asks. */
    void answer(BlockRequest held) {
        answers.execute(() -> held.complete(transfer(held)));
    }

    /** Returns how many transfers were in flight at most, of those that are answered late. */
    int mostInFlight() {
        return mostInFlight.get();
    }

    synchronized List<Event> events() {
        return new ArrayList<>(events);
    }

    synchronized SparseBytes content() {
        return content.copy();
    }

    @Override
    public String name() {
        return "recorded.qcow2";
    }

    @Override
    public synchronized long sizeBytes() {
        return content.size();
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        CompletableFuture<BlockRequest> held = holder.getAndSet(null);
        if (held != null) {
            held.complete(request);
            return Verdict.STOLEN;
        }
        if (!isLate) {
            return request.respond(transfer(request));
        }
        mostInFlight.accumulateAndGet(inFlight.incrementAndGet(), Math::max);
        int turns = nextRandom(4);
        answers.execute(() -> answerAfter(request, turns));
        return Verdict.STOLEN;
    }

    private synchronized int nextRandom(int bound) {
        return random.nextInt(bound);
    }

    private void answerAfter(BlockRequest request, int turns) {
        if (turns > 0) {
            answers.execute(() -> answerAfter(request, turns - 1));
            return;
        }
        BlockStatus status = transfer(request);
        inFlight.decrementAndGet();
        request.complete(status);
    }

    private BlockStatus transfer(BlockRequest request) {
        int length = request.dataLength();
        if (request.op() == BlockOp.READ) {
            byte[] bytes;
            synchronized (this) {
                bytes = content.read(request.offsetBytes(), length);
            }
            request.data().setBytes(0, bytes);
            return BlockStatus.OK;
        }
        byte[] bytes = new byte[length];
        request.data().getBytes(0, bytes);
        BlockStatus status = write(bytes, request.offsetBytes());
        return status == BlockStatus.OK && request.isFua() ? sync() : status;
    }

    private synchronized BlockStatus write(byte[] bytes, long offset) {
        if (writeFails.test(++writes)) {
            return BlockStatus.NO_SPACE;
        }
        content.write(offset, bytes, 0, bytes.length);
        events.add(new Event(Kind.WRITE, clock.incrementAndGet(), offset, bytes, 0));
        return BlockStatus.OK;
    }

    @Override
    public synchronized BlockStatus read(ByteBuffer into, long offsetBytes) {
        into.duplicate().put(content.read(offsetBytes, into.remaining())); // as for a file, the position stays
        return BlockStatus.OK;
    }

    @Override
    public BlockStatus write(ByteBuffer from, long offsetBytes) {
        byte[] bytes = new byte[from.remaining()];
        from.get(bytes);
        return write(bytes, offsetBytes);
    }

    @Override
    public BlockStatus sync() {
        int covers;
        synchronized (this) {
            covers = events.size();
        }
        Thread.yield(); // what is written now is not covered
        synchronized (this) {
            if (syncFails) {
                return BlockStatus.IO_ERROR;
            }
            events.add(new Event(Kind.SYNC, clock.incrementAndGet(), 0, new byte[0], covers));
        }
        return BlockStatus.OK;
    }

    @Override
    public synchronized BlockStatus discard(long offsetBytes, long lengthBytes) {
        content.discard(offsetBytes, lengthBytes);
        events.add(new Event(Kind.DISCARD, clock.incrementAndGet(), offsetBytes, new byte[(int) lengthBytes], 0));
        return BlockStatus.OK;
    }

    @Override
    public void close() {
        answers.shutdown();
        try {
            if (!answers.awaitTermination(20, TimeUnit.SECONDS)) {
                throw new AssertionError("transfers hang");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}

package io.blocktap.pipeline.testkit;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.WorkerPool;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A terminator that is simple enough to be right: a byte array. It answers at once, or from another thread, or when the test says
 * so, and fails when the test says so. Any number of event loops, if they do not touch the same bytes.
 */
public final class ReferenceDisk implements Stage, RequestHook {
    /** When requests are answered. */
    public enum Answering {
        /** In the hook. */
        AT_ONCE,
        /** From a worker thread. */
        FROM_WORKERS,
        /** By {@link ReferenceDisk#release}. */
        WHEN_RELEASED
    }

    private final byte[] content;
    private final Geometry geometry;
    private final Answering answering;
    private final WorkerPool.Work work = this::perform;
    private final Map<BlockOp, AtomicInteger> seen = new EnumMap<>(BlockOp.class);
    private final Map<BlockOp, Deque<BlockStatus>> failures = new EnumMap<>(BlockOp.class);
    private final Deque<BlockRequest> held = new ArrayDeque<>();
    private final AtomicInteger timesClosed = new AtomicInteger();
    private @Nullable WorkerPool workers;
    private @Nullable StageContext opened;

    /** Makes a disk of zeroes that supports everything, with byte granularity. */
    public ReferenceDisk(int sizeBytes, Answering answering) {
        this(sizeBytes, sizeBytes, answering);
    }

    /** Makes such a disk that can be {@linkplain #resize resized} up to a number of bytes. */
    public ReferenceDisk(int sizeBytes, long roomBytes, Answering answering) {
        this(
                Geometry.ofSize(
                        sizeBytes,
                        Feature.FLUSH,
                        Feature.FUA,
                        Feature.DISCARD,
                        Feature.WRITE_ZEROES,
                        Feature.FAST_ZERO,
                        Feature.MULTI_CONNECTION),
                roomBytes,
                answering);
    }

    /** Makes a disk of zeroes with this geometry. */
    public ReferenceDisk(Geometry geometry, Answering answering) {
        this(geometry, geometry.sizeBytes(), answering);
    }

    /** Makes a disk of zeroes with this geometry, which can be {@linkplain #resize resized} up to a number of bytes. */
    public ReferenceDisk(Geometry geometry, long roomBytes, Answering answering) {
        this.geometry = geometry;
        this.answering = answering;
        this.content = new byte[Math.toIntExact(roomBytes)];
        for (BlockOp op : BlockOp.values()) {
            seen.put(op, new AtomicInteger());
            failures.put(op, new ArrayDeque<>());
        }
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) {
        workers = context.workers();
        opened = context;
        return geometry;
    }

    @Override
    public Sharing sharing() {
        return Sharing.THREAD_SAFE;
    }

    // ---- what the test sees and says; any thread

    /** Has another size from now on, as far as there is room. */
    public CompletableFuture<Void> resize(long sizeBytes) {
        return Objects.requireNonNull(opened).resize(sizeBytes);
    }

    /** Returns what is stored, and the room beyond. */
    public byte[] content() {
        return content;
    }

    /** Returns how many requests of a kind came down to here. */
    public int seen(BlockOp op) {
        return Objects.requireNonNull(seen.get(op)).get();
    }

    /** Lets the next request of a kind fail. Called twice, the next two. */
    public void failNext(BlockOp op, BlockStatus status) {
        synchronized (failures) {
            Objects.requireNonNull(failures.get(op)).add(status);
        }
    }

    /** Returns how many requests wait for {@link #release}. */
    public int held() {
        synchronized (held) {
            return held.size();
        }
    }

    /** Answers all requests that wait, and those that come meanwhile, from the calling thread, the last one first. */
    public void release() {
        BlockRequest request;
        while ((request = takeLast()) != null) {
            request.complete(perform(request));
        }
    }

    /** Answers the request that came last of those that wait, from the calling thread. */
    public void releaseLast() {
        BlockRequest request = Objects.requireNonNull(takeLast(), "no request waits");
        request.complete(perform(request));
    }

    private @Nullable BlockRequest takeLast() {
        synchronized (held) {
            return held.pollLast();
        }
    }

    /** Returns how often it was closed. */
    public int timesClosed() {
        return timesClosed.get();
    }

    // ---- requests

    @Override
    public Verdict onRequest(BlockRequest request) {
        Objects.requireNonNull(seen.get(request.op())).incrementAndGet();
        switch (answering) {
            case FROM_WORKERS -> Objects.requireNonNull(workers).submit(request, work);
            case WHEN_RELEASED -> {
                synchronized (held) {
                    held.add(request);
                }
            }
            case AT_ONCE -> {
                return request.respond(perform(request));
            }
        }
        return Verdict.STOLEN;
    }

    private BlockStatus perform(BlockRequest request) {
        BlockStatus failure;
        synchronized (failures) {
            failure = Objects.requireNonNull(failures.get(request.op())).poll();
        }
        if (failure != null) {
            return failure;
        }
        int offset = (int) request.offsetBytes();
        switch (request.op()) {
            case READ -> request.data().setBytes(0, content, offset, request.dataLength());
            case WRITE -> request.data().getBytes(0, content, offset, request.dataLength());
            case DISCARD, WRITE_ZEROES ->
                java.util.Arrays.fill(content, offset, offset + (int) request.lengthBytes(), (byte) 0);
            case FLUSH -> {
                // the array is as stable as it gets
            }
        }
        return BlockStatus.OK;
    }

    @Override
    public void close() {
        timesClosed.incrementAndGet();
    }
}

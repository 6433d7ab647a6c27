package io.blocktap.benchmarks;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.BoundedWorkerPool;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.ResponseHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.WorkerPool;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a request costs from the tap to the terminator and back, with 0 to 8 interposers that pass requests and look at responses. The difference of two
 * rows divided by their number of hooks is the price of one hook. With {@code -prof gc} it also shows that nothing is allocated.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(2)
public class HookChainBenchmark {
    private static final int BATCH = 10_000;

    /** How many pass-through interposers stand before the terminator. */
    @Param({"0", "1", "3", "8"})
    public int hooks;

    private TapLoops loops;
    private WorkerPool workers;
    private Disk disk;
    private EventLoop loop;
    private RequestStream stream;
    private long answered;

    /** Made by JMH. */
    @SuppressWarnings("NullAway.Init")
    public HookChainBenchmark() {}

    /** Opens the disk. */
    @Setup
    public void open() throws StageException, InterruptedException, ExecutionException {
        loops = new TapLoops(new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory()), 1 << 20);
        workers = new BoundedWorkerPool(1);
        List<DiskOpener.Unopened> stages = new ArrayList<>();
        for (int i = 0; i < hooks; i++) {
            stages.add(new DiskOpener.Unopened("pass", new PassThrough()));
        }
        stages.add(new DiskOpener.Unopened("end", new Answering()));
        disk = new DiskOpener(loops, workers, InstantSource.system()).open("bench", "bench", stages);
        loop = disk.home();
        stream = loop.submit(this::openStream).get();
    }

    private RequestStream openStream() throws RefusedException {
        return disk.openStream(disk.connect("bench", "-"), loop, new RequestStream.Sink() {
            @Override
            public void answer(BlockResponse response) {
                answered++;
            }

            @Override
            public void flush() {
                // nobody listens
            }
        });
    }

    /** Closes the disk. */
    @TearDown
    public void close() {
        disk.drain().join();
        disk.close();
        loops.close();
        workers.close();
    }

    /** A batch of requests, on the event loop. */
    @Benchmark
    @OperationsPerInvocation(BATCH)
    public long request() throws InterruptedException, ExecutionException {
        return loop.submit(this::batch).get();
    }

    private long batch() {
        for (int i = 0; i < BATCH; i++) {
            BlockRequest request = stream.newRequest().withCookie(i, 0);
            stream.submit(request.describe(BlockOp.DISCARD, 0, i * 4096L, 4096));
        }
        return answered;
    }

    private static final class PassThrough implements Stage, RequestHook, ResponseHook {
        private long seen;

        @Override
        public Geometry open(StageContext context, @Nullable Geometry below) {
            return java.util.Objects.requireNonNull(below);
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            seen += request.lengthBytes();
            return Verdict.PASS;
        }

        @Override
        public void onResponse(BlockResponse response) {
            if (response.status() == BlockStatus.OK) {
                seen--;
            }
        }

        @Override
        public void close() {
            // Read once, so that the work of the hooks counts.
            if (seen < 0) {
                throw new IllegalStateException("more responses than requests: " + seen);
            }
        }
    }

    private static final class Answering implements Stage, RequestHook {
        @Override
        public Geometry open(StageContext context, @Nullable Geometry below) {
            return Geometry.ofSize(1L << 30, Feature.DISCARD);
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            return request.respond(BlockStatus.OK);
        }

        @Override
        public void close() {}
    }
}

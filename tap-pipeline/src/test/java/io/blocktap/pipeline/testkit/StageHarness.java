package io.blocktap.pipeline.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.transport.memory.MappedRegion;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Opens a chain on real event loops, without a tap or a guest, for tests of stages.
 *
 * <pre>{@code
 * try (StageHarness harness = StageHarness.open(new CountInterposer(config), new ReferenceDisk(1 << 20, AT_ONCE))) {
 *     harness.client().write(4096, data);
 *     assertThat(harness.client().read(4096, data.length)).isEqualTo(data);
 * }
 * }</pre>
 *
 * <p>{@link #close} drains the disk, closes the stages, and fails the test if a request was not answered or a buffer, a mapping or a
 * reference was left behind. The test's own thread only.
 */
public final class StageHarness implements AutoCloseable {
    private static final AtomicInteger NEIGHBOURS = new AtomicInteger();

    private final int regionsBefore = MappedRegion.liveRegions();
    private final TapLoops loops;
    private final TestPool workers = new TestPool(2);
    private final Disk disk;
    private final List<TestClient> clients = new ArrayList<>();
    private boolean drained;
    /** What frontends have been told; streams take requests of that size. */
    private volatile long toldBytes;

    private StageHarness(EventLoopGroup group, Stage... stages) throws Exception {
        loops = new TapLoops(group, 1L << 30);
        List<DiskOpener.Unopened> unopened = new ArrayList<>();
        for (Stage stage : stages) {
            String name = stage.getClass().getSimpleName().toLowerCase(Locale.ROOT);
            unopened.add(new DiskOpener.Unopened(name, stage));
        }
        try {
            disk = new DiskOpener(loops, workers, InstantSource.system()).open("test", "test", unopened);
            disk.onGeometryChange(now -> toldBytes = now.sizeBytes());
            clients.add(TestClient.connect(disk, disk.loopFor(loops.group().next())));
        } catch (Throwable t) {
            workers.close();
            loops.close();
            throw t;
        }
    }

    /**
     * Opens a chain on one event loop, with a first client.
     *
     * @param stages from the top down, the last one is the terminator; named by their classes
     */
    public static StageHarness open(Stage... stages) throws Exception {
        return openOn(1, stages);
    }

    /** Opens a chain on several event loops; clients that come are spread over them if the stages allow it. */
    public static StageHarness openOn(int loopCount, Stage... stages) throws Exception {
        return openOn(new MultiThreadIoEventLoopGroup(loopCount, EpollIoHandler.newFactory()), stages);
    }

    /** As {@link #openOn(int, Stage...)}, on event loops of another kind; the harness shuts them down. */
    public static StageHarness openOn(EventLoopGroup group, Stage... stages) throws Exception {
        return new StageHarness(group, stages);
    }

    /** Something else in this process maps memory from now on, a server for example: harnesses can't tell whose mappings are whose. */
    public static void neighbourBegins() {
        NEIGHBOURS.incrementAndGet();
    }

    /** Ends a {@link #neighbourBegins}. */
    public static void neighbourEnds() {
        NEIGHBOURS.decrementAndGet();
    }

    /** Returns the disk. */
    public Disk disk() {
        return disk;
    }

    /** Returns the size in bytes that frontends were told last, 0 before any change: what lies below it may be asked for, unlike that of a geometry that is seen before all streams have it. */
    public long toldSizeBytes() {
        return toldBytes;
    }

    /** Returns the pool that the stages use. */
    public TestPool workers() {
        return workers;
    }

    /** Returns the first client. */
    public TestClient client() {
        return clients.get(0);
    }

    /** Connects one more client, on the next event loop. */
    public TestClient connect() throws Exception {
        TestClient client = TestClient.connect(disk, disk.loopFor(loops.group().next()));
        clients.add(client);
        return client;
    }

    /** Starts the draining of the disk. The clients may send nothing afterwards. */
    public CompletableFuture<BlockStatus> drain() {
        drained = true;
        return disk.drain();
    }

    @Override
    public void close() {
        try {
            if (!drained) {
                assertThat(TestClient.await(drain())).as("flush at the end").isEqualTo(BlockStatus.OK);
            }
            clients.forEach(TestClient::check);
            clients.forEach(TestClient::disconnect);
            disk.close();
            loops.group()
                    .forEach(loop -> assertThat(buffersInUse((EventLoop) loop))
                            .as("buffers in use at the end")
                            .isZero());
        } finally {
            workers.close();
            loops.close();
        }
        if (NEIGHBOURS.get() == 0) {
            assertThat(MappedRegion.liveRegions()).as("mappings at the end").isEqualTo(regionsBefore);
        }
    }

    private int buffersInUse(EventLoop loop) {
        return TestClient.await(
                CompletableFuture.supplyAsync(() -> loops.memory(loop).buffersInUse(), loop));
    }
}

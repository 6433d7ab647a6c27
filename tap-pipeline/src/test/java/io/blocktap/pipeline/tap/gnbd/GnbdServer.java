package io.blocktap.pipeline.tap.gnbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import io.blocktap.pipeline.testkit.TestPool;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** A GNBD server of a test, on a free port of loopback. Its end checks that no buffer is left behind. */
public final class GnbdServer implements AutoCloseable {
    private final TestPool workers = new TestPool(2);
    private final TapLoops loops;
    private final Map<String, Disk> disks = new LinkedHashMap<>();
    private final Tap tap;

    /**
     * Opens a server.
     *
     * @param options behind the address, each with a comma before it
     * @param chains by the disks' names
     */
    public GnbdServer(int loopCount, String options, Map<String, List<Stage>> chains) throws Exception {
        loops = new TapLoops(new MultiThreadIoEventLoopGroup(loopCount, EpollIoHandler.newFactory()), 64 << 20);
        for (Map.Entry<String, List<Stage>> chain : chains.entrySet()) {
            List<DiskOpener.Unopened> stages = new ArrayList<>();
            chain.getValue()
                    .forEach(stage ->
                            stages.add(new DiskOpener.Unopened(stage.getClass().getSimpleName(), stage)));
            disks.put(
                    chain.getKey(),
                    new DiskOpener(loops, workers, InstantSource.system()).open(chain.getKey(), "test", stages));
        }
        GnbdTapFactory factory = new GnbdTapFactory();
        OptionValues values = OptionValues.parse(StageText.parse("gnbd:tcp=127.0.0.1:0" + options), factory.options());
        factory.check(values);
        tap = factory.open(values, new DiskRegistry(disks.values()), loops);
        StageHarness.neighbourBegins();
    }

    public GnbdServer(String options, Stage terminator) throws Exception {
        this(1, options, Map.of("disk", List.of(terminator)));
    }

    List<String> uris() {
        return tap.uris();
    }

    public int port() {
        return Integer.parseInt(uris().get(0).replaceAll("gnbd://127.0.0.1:(\\d+)/.*", "$1"));
    }

    public Disk disk(String name) {
        return disks.get(name);
    }

    /** Returns the first event loop. */
    EventLoop loop() {
        return (EventLoop) loops.group().iterator().next();
    }

    public Tap tap() {
        return tap;
    }

    RawGnbdClient connect() throws Exception {
        return new RawGnbdClient(port());
    }

    @Override
    public void close() {
        TestClient.await(tap.close());
        for (var each : loops.group()) {
            EventLoop loop = (EventLoop) each;
            await().untilAsserted(() -> assertThat(TestClient.await(CompletableFuture.supplyAsync(
                            () -> loops.memory(loop).buffersInUse(), loop)))
                    .as("buffers in use at the end")
                    .isZero());
        }
        disks.values().forEach(Disk::close);
        loops.close();
        workers.close();
        StageHarness.neighbourEnds();
    }
}

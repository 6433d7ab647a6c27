package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.it.support.Exec;
import io.blocktap.it.support.ProcFs;
import io.blocktap.it.support.RawNbd;
import io.blocktap.it.support.RingClient;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.Tool;
import io.blocktap.launcher.server.BlocktapServer;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.codec.nbd.Nbd;
import io.blocktap.transport.loopback.LoopbackFrontend;
import io.blocktap.transport.memory.MappedRegion;
import io.netty.buffer.Unpooled;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.util.concurrent.EventExecutor;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A thousand sessions leave nothing behind: no descriptor, no mapping, no buffer. */
@Timeout(180)
final class LeakIT {
    private static final int SESSIONS = 1000;
    private static final int WARM_UP = 50;
    private static final int TRANSFER_BYTES = 32 << 10;

    /**
     * What the JVM maps and unmaps by itself (stacks of threads that come and go, arenas of malloc, code) may differ by so much. A leak of one mapping a
     * session is ten times more.
     */
    private static final int MAPPINGS_OF_THE_JVM = SESSIONS / 10;

    @TempDir
    private Path directory;

    private static void nbdSession(Path socket, int number) throws Exception {
        try (RawNbd client = RawNbd.open(socket)) {
            byte[] data = TestData.bytes(number, TRANSFER_BYTES);
            long offset = (long) (number % 16) * TRANSFER_BYTES;
            assertThat(client.write(offset, data)).isZero();
            assertThat(client.read(offset, TRANSFER_BYTES)).isEqualTo(data);
            if (number % 4 == 0) {
                assertThat(client.command(Nbd.CMD_FLUSH, 0, 0, 0)).isZero();
            }
            switch (number % 3) {
                case 0 -> client.disconnect();
                case 1 -> client.send(RawNbd.request(Nbd.CMD_READ, 0, 1, 0, 1 << 20)); // and goes without the answer
                default -> client.shutdownOutput();
            }
        }
    }

    private static void ringSession(MultiThreadIoEventLoopGroup group, Path socket, int number) {
        LoopbackFrontend disk = RingClient.connect(group, socket, LoopbackFrontend.Options.DEFAULT);
        byte[] data = TestData.bytes(number, TRANSFER_BYTES);
        long offset = (long) (number % 16) * TRANSFER_BYTES;
        RingClient.join(disk.write(offset, Unpooled.wrappedBuffer(data)));
        byte[] read = new byte[TRANSFER_BYTES];
        RingClient.join(disk.read(offset, Unpooled.wrappedBuffer(read).writerIndex(0)));
        assertThat(read).isEqualTo(data);
        if (number % 2 == 0) {
            disk.read(0, Unpooled.buffer(TRANSFER_BYTES)); // still in flight when the ring goes
        }
        disk.close();
    }

    /** Lets Netty's detector look: it reports what was collected when the next buffers are made. */
    private void collectGarbage(ServedDisk served) throws Exception {
        for (int i = 0; i < 2; i++) {
            Exec.run(Path.of(System.getProperty("java.home"), "bin", "jcmd"), served.pid(), "GC.run")
                    .ok();
            for (int session = 0; session < 10; session++) {
                nbdSession(served.nbdSocket(), session);
            }
        }
    }

    @Test
    void aThousandNbdSessionsLeaveNothingInTheServer() throws Exception {
        try (ServedDisk served = ServedDisk.serve(directory, "count", "image:disk.img,size=8M")) {
            for (int i = 0; i < WARM_UP; i++) {
                nbdSession(served.nbdSocket(), i);
            }
            collectGarbage(served);
            int descriptors = served.awaitSteadyDescriptors();
            int mappings = served.mappings().size();

            for (int i = 0; i < SESSIONS; i++) {
                nbdSession(served.nbdSocket(), i);
            }
            if (Tool.isThere("nbdinfo")) {
                for (int i = 0; i < 20; i++) {
                    Exec.run("nbdinfo", served.uri()).ok();
                }
            }

            collectGarbage(served);
            served.awaitDescriptors(descriptors);
            assertThat(served.mappings()).hasSizeLessThan(mappings + MAPPINGS_OF_THE_JVM);
        }
    }

    @Test
    void aThousandRingsLeaveNothingInTheServer() throws Exception {
        MultiThreadIoEventLoopGroup group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
        try (ServedDisk served = ServedDisk.serve(directory, "count", "image:disk.img,size=8M")) {
            for (int i = 0; i < WARM_UP; i++) {
                ringSession(group, served.ringSocket(), i);
            }
            collectGarbage(served);
            int descriptors = served.awaitSteadyDescriptors();
            int mappings = served.mappings().size();
            assertThat(served.mappings()).noneMatch(line -> line.contains("/memfd:"));

            for (int i = 0; i < SESSIONS; i++) {
                ringSession(group, served.ringSocket(), i);
            }

            collectGarbage(served);
            served.awaitDescriptors(descriptors);
            assertThat(served.mappings())
                    .hasSizeLessThan(mappings + MAPPINGS_OF_THE_JVM)
                    .noneMatch(line -> line.contains("/memfd:"));
        } finally {
            group.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly(5, TimeUnit.SECONDS);
        }
    }

    /** The same in this process, where regions and buffers can be counted. */
    @Test
    void sessionsGiveBackEveryRegionAndBuffer() throws Exception {
        long self = ProcessHandle.current().pid();
        Path nbd = directory.resolve("nbd.sock");
        Path ring = directory.resolve("ring.sock");
        MultiThreadIoEventLoopGroup group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
        int regionsAtFirst = MappedRegion.liveRegions();
        try {
            try (BlocktapServer server = BlocktapServer.builder()
                    .tap("nbd:unix=" + nbd)
                    .tap("loopback:unix=" + ring)
                    .disk("", "count memory:8M")
                    .start()) {
                for (int i = 0; i < WARM_UP; i++) {
                    nbdSession(nbd, i);
                    ringSession(group, ring, i);
                }
                awaitNothingInUse(server.loops());
                int regions = MappedRegion.liveRegions();
                int descriptors = ProcFs.descriptors(self);

                for (int i = 0; i < SESSIONS; i++) {
                    nbdSession(nbd, i);
                    ringSession(group, ring, i);
                }

                awaitNothingInUse(server.loops());
                await().atMost(Duration.ofSeconds(10))
                        .untilAsserted(
                                () -> assertThat(MappedRegion.liveRegions()).isLessThanOrEqualTo(regions));
                await().atMost(Duration.ofSeconds(10))
                        .untilAsserted(() -> assertThat(ProcFs.descriptors(self))
                                .as(() -> ProcFs.descriptorKinds(self).toString())
                                .isLessThanOrEqualTo(descriptors));
            }
            assertThat(MappedRegion.liveRegions()).isEqualTo(regionsAtFirst);
        } finally {
            group.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly(5, TimeUnit.SECONDS);
        }
    }

    private static void awaitNothingInUse(TapLoops loops) {
        await().atMost(Duration.ofSeconds(10)).untilAsserted(() -> {
            for (EventExecutor executor : loops.group()) {
                EventLoop loop = (EventLoop) executor;
                int inUse = loop.submit(() -> loops.memory(loop).buffersInUse()).get(5, TimeUnit.SECONDS);
                assertThat(inUse).as("slab buffers in use").isZero();
            }
            assertThat(loops.budget().usedBytes()).as("bytes in flight").isZero();
        });
    }
}

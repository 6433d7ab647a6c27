package io.blocktap.pipeline.codec.blkif;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.ChainHandler;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.ring.BackRing;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.FrontRing;
import io.blocktap.transport.ring.InFlightTable;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.slf4j.LoggerFactory;

/**
 * Whenever a server is killed, the next one on the same ring, with the table that is left, answers every request of the guest exactly once, keeps what was acknowledged, and keeps
 * the order of barriers. The table is a mapped file, the ring real memory, the codec and the stream the real ones.
 */
class RingTakeoverTest {
    private static final Logger CODEC_LOG = (Logger) LoggerFactory.getLogger(BlkifCodec.class);

    private static final InFlightTable.Owner OWNER = new InFlightTable.Owner(7, 51712, 0);
    private static final long NONCE = 0x1234_5678_9abc_def1L;

    @BeforeAll
    static void nonsenseIsNotToldHere() {
        CODEC_LOG.setLevel(Level.ERROR);
    }

    @AfterAll
    static void restoreLog() {
        CODEC_LOG.setLevel(null);
    }

    @TempDir
    Path directory;

    /** All that a killed server leaves: memory that others share, the table, the disk, and what the kernel still does for it. */
    private record Left(
            byte[] memory, byte[] table, byte[] disk, Set<Long> done, Set<Long> stable, List<TableDisk.Held> held) {}

    /** A guest, a ring, a disk, and servers one after another. */
    private final class World implements AutoCloseable {
        final Random random;
        final BlkifLayout layout;
        final int ringPages;
        final TapLoops loops;
        final EventLoop loop;
        final MappedRegion memory;
        final Fd file;
        final TableDisk storage;
        final TableGuest guest;
        final Disk disk;
        int redone;
        private MappedRegion table;
        private TableRing ring;
        private int stepsToLive = Integer.MAX_VALUE;
        private Left left;

        World(long seed, BlkifLayout layout, int ringPages, Feature... features) throws Exception {
            this.random = new Random(seed);
            this.layout = layout;
            this.ringPages = ringPages;
            // Little memory, so that requests wait for it.
            loops = new TapLoops(new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory()), 1 << 20);
            loop = (EventLoop) loops.group().iterator().next();
            memory = MappedRegion.anonymous((ringPages + TableGuest.DATA_PAGES) * 4096);
            FrontRing.initialise(memory.view());
            file = Libc.openFile(directory.resolve("table-" + seed).toString(), Libc.O_RDWR | Libc.O_CREAT, 0600);
            Libc.truncate(file, InFlightTable.sizeBytes(layout.slots(ringPages)));
            storage = new TableDisk(random, this::step, features);
            guest = new TableGuest(random, layout, ringPages, memory.view(), storage);
            storage.guest = guest;
            storage.isDead = this::isDead;
            disk = new DiskOpener(loops, NO_WORKERS, InstantSource.system())
                    .open("", "storage", List.of(new DiskOpener.Unopened("storage", storage)));
            table = mapTable();
            call(() -> start(InFlightTable.create(table.view(), OWNER, layout, ringPages, NONCE, 0)));
        }

        private MappedRegion mapTable() throws Exception {
            return MappedRegion.shared(file, InFlightTable.sizeBytes(layout.slots(ringPages)));
        }

        /** Runs something on the loop, and what it has led to. */
        <T> T call(Callable<T> task) throws Exception {
            T result = loop.submit(task).get(10, TimeUnit.SECONDS);
            loop.submit(() -> {}).get(10, TimeUnit.SECONDS);
            loop.submit(() -> {}).get(10, TimeUnit.SECONDS);
            return result;
        }

        private Object start(InFlightTable its) throws Exception {
            redone += its.redoCount();
            BackRing back = new BackRing(memory.view(), layout, ringPages, its);
            guest.look();
            TableRing channel = new TableRing(back, memory, ringPages, this::step, this::filled);
            ChainHandler chain = new ChainHandler(disk.connect("test", "guest"));
            channel.pipeline()
                    .addLast(new BlkifCodec(channel, chain, new BlkifFeatures(BlkifFeatures.MAX_INDIRECT_SEGMENTS)))
                    .addLast(chain);
            ring = channel;
            return loop.register(channel);
        }

        private void filled(int page) {
            if (left == null) {
                guest.filled(page);
            }
        }

        /** The server may die here. */
        private void step() {
            if (left == null && --stepsToLive == 0) {
                left = new Left(
                        bytes(memory.view()),
                        bytes(table.view()),
                        storage.bytes.clone(),
                        new HashSet<>(storage.done),
                        new HashSet<>(storage.stable),
                        new ArrayList<>(storage.held));
            }
        }

        private static byte[] bytes(ByteBuffer from) {
            byte[] to = new byte[from.capacity()];
            from.get(0, to);
            return to;
        }

        void dieIn(int steps) {
            stepsToLive = steps;
        }

        boolean isDead() {
            return left != null;
        }

        /** Makes undone what the server has done since it was killed, and starts the next one; that one may be killed before this returns. */
        void restart(int nextStepsToLive) throws Exception {
            call(ring::close); // what it does while it closes is undone, too
            call(() -> {
                storage.forget();
                return null;
            });
            call(() -> {
                memory.view().put(0, left.memory);
                table.view().put(0, left.table);
                table.release();
                storage.bytes = left.disk;
                storage.done = left.done;
                storage.stable = left.stable;
                guest.look();
                storage.afterlife(left.held);
                left = null;
                stepsToLive = nextStepsToLive;
                table = mapTable();
                return start(InFlightTable.open(table.view(), OWNER, layout, ringPages, NONCE));
            });
        }

        void randomStep() throws Exception {
            call(() -> {
                switch (random.nextInt(5)) {
                    case 0, 1 -> {
                        guest.put(1 + random.nextInt(12));
                        ring.kick();
                    }
                    case 2 -> storage.complete(1 + random.nextInt(6));
                    case 3 -> step();
                    default -> guest.collect();
                }
                return null;
            });
        }

        void ask(int operation, int segments) throws Exception {
            call(() -> {
                guest.put(operation, segments);
                ring.kick();
                return null;
            });
        }

        void completeOne() throws Exception {
            call(() -> {
                storage.completeOldest();
                return null;
            });
        }

        void collect() throws Exception {
            call(() -> {
                guest.collect();
                return null;
            });
        }

        void kill() throws Exception {
            call(() -> {
                stepsToLive = 1;
                step();
                return null;
            });
        }

        /** Everything is answered in the end. */
        void finish() throws Exception {
            storage.holdsOneIn = 0;
            for (int i = 0; i < 500 && !guest.waiting.isEmpty(); i++) {
                call(() -> {
                    storage.complete(Integer.MAX_VALUE);
                    ring.kick();
                    guest.collect();
                    return null;
                });
            }
            assertThat(guest.waiting.keySet())
                    .as("requests that are never answered")
                    .isEmpty();
            assertThat(storage.bytes).as("the disk").isEqualTo(guest.disk);
        }

        void complain() {
            if (storage.complaint != null) {
                throw new AssertionError(storage.complaint.getMessage(), storage.complaint);
            }
        }

        @Override
        public void close() {
            loop.submit(() -> {
                        ring.close();
                        storage.forget();
                    })
                    .awaitUninterruptibly();
            disk.close();
            loops.close();
            table.release();
            memory.release();
            file.close();
        }
    }

    private static final WorkerPool NO_WORKERS = new WorkerPool() {
        @Override
        public void submit(BlockRequest request, Work work) {
            throw new UnsupportedOperationException("these tests need no workers");
        }

        @Override
        public void execute(Runnable task) {
            new Thread(task).start();
        }

        @Override
        public void close() {}
    };

    @ParameterizedTest
    @CsvSource({"X86_64, 1, FUA", "X86_64, 4, DISCARD", "X86_32, 1, DISCARD", "X86_32, 2, FUA"})
    void everyRequestIsAnsweredOnceWhereverTheServerIsKilled(BlkifLayout layout, int ringPages, Feature extra)
            throws Exception {
        long seed = new Random().nextLong();
        int redone = 0;
        int puts = 0;
        for (int round = 0; round < 6; round++, seed++) {
            try (World world = new World(seed, layout, ringPages, Feature.FLUSH, Feature.DISCARD, extra)) {
                world.dieIn(1 + world.random.nextInt(500));
                for (int i = 0; i < 200; i++) {
                    world.randomStep();
                    while (world.isDead()) {
                        world.restart(1 + world.random.nextInt(world.random.nextBoolean() ? 10 : 3000));
                    }
                    world.complain();
                }
                world.dieIn(Integer.MAX_VALUE);
                world.finish();
                world.complain();
                redone += world.redone;
                puts += world.guest.puts;
            } catch (Throwable t) {
                throw new AssertionError(
                        "seed " + seed + ", " + layout + ", " + ringPages + " page(s), " + extra + ": " + t, t);
            }
        }
        assertThat(puts).as("requests").isGreaterThan(500);
        assertThat(redone).as("requests that were done again").isGreaterThan(50);
    }

    @Test
    void barrierThatWasWaitingComesAfterThoseBeforeItAgain() throws Exception {
        try (World world = new World(1, BlkifLayout.X86_64, 1, Feature.FLUSH)) {
            world.storage.holdAll();
            world.ask(Blkif.BLKIF_OP_WRITE, 2);
            world.ask(Blkif.BLKIF_OP_WRITE, 1);
            world.ask(Blkif.BLKIF_OP_WRITE_BARRIER, 1);
            world.ask(Blkif.BLKIF_OP_WRITE, 1);
            assertThat(world.storage.held()).containsExactly("WRITE", "WRITE");

            world.kill();
            world.restart(Integer.MAX_VALUE);

            assertThat(world.redone)
                    .as("the two and the barrier; the one after it is still in the ring")
                    .isEqualTo(3);
            assertThat(world.storage.held()).containsExactly("WRITE", "WRITE");
            world.completeOne();
            assertThat(world.storage.held())
                    .as("one of those before it is not done")
                    .containsExactly("WRITE");
            world.completeOne();
            for (String part : List.of("FLUSH", "WRITE", "FLUSH")) {
                assertThat(world.storage.held()).as("the barrier alone").containsExactly(part);
                world.completeOne();
            }
            assertThat(world.storage.held()).as("the write after it").containsExactly("WRITE");
            world.finish();
            world.complain();
        }
    }

    @Test
    void afterAFailedFlushTheNextServerRefusesWrites() throws Exception {
        try (World world = new World(2, BlkifLayout.X86_64, 1, Feature.FLUSH)) {
            world.storage.failFlushes = BlockStatus.IO_ERROR;
            world.guest.expects(Blkif.BLKIF_RSP_ERROR);
            world.ask(Blkif.BLKIF_OP_FLUSH_DISKCACHE, 0);
            world.collect();
            world.storage.failFlushes = null;

            world.kill();
            world.restart(Integer.MAX_VALUE);

            for (int operation : new int[] {Blkif.BLKIF_OP_WRITE, Blkif.BLKIF_OP_WRITE_BARRIER}) {
                world.ask(operation, 1);
                world.collect();
                assertThat(world.guest.waiting).isEmpty();
            }
            world.guest.expects(Blkif.BLKIF_RSP_OKAY);
            world.ask(Blkif.BLKIF_OP_READ, 1);
            world.finish();
        }
    }
}

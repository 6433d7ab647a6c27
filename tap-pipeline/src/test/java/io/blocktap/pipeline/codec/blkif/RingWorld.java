package io.blocktap.pipeline.codec.blkif;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.ChainHandler;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.transport.memory.BudgetTurn;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.ring.BackRing;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.FrontRing;
import io.blocktap.transport.ring.InFlightTable;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
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
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;

/** A guest, a ring, a disk, and servers one after another. */
final class RingWorld implements AutoCloseable {
    private static final InFlightTable.Owner OWNER = new InFlightTable.Owner(7, 51712, 0);
    private static final long NONCE = 0x1234_5678_9abc_def1L;

    /** All that a killed server leaves: memory that others share, the table, the disk, and what the kernel still does for it. */
    private record Left(
            byte[] memory, byte[] table, byte[] disk, Set<Long> done, Set<Long> stable, List<TableDisk.Held> held) {}

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
    private @Nullable Left left;

    /** What fails when a buffer is asked for; null: nothing. */
    @Nullable
    Error noBuffers;

    final List<Throwable> failures = new ArrayList<>();

    RingWorld(Path directory, long seed, BlkifLayout layout, int ringPages, Feature... features) throws Exception {
        this.random = new Random(seed);
        this.layout = layout;
        this.ringPages = ringPages;
        // Little memory, so that requests wait for it.
        loops = new TapLoops(new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory()), 1 << 18);
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
                .addLast(new BlkifCodec(channel, chain, new BlkifFeatures(BlkifFeatures.MAX_INDIRECT_SEGMENTS)) {
                    @Override
                    @Nullable
                    RegionBuf allocate(BudgetTurn turn, int lengthBytes) {
                        if (noBuffers != null) {
                            throw noBuffers;
                        }
                        return super.allocate(turn, lengthBytes);
                    }
                })
                .addLast(chain)
                .addLast(new ChannelInboundHandlerAdapter() {
                    @Override
                    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
                        failures.add(cause);
                        ctx.close();
                    }
                });
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

    /** As {@link #collect}, where not every request has the status that the guest expects. */
    void collectWith(IntPredicate isRight) throws Exception {
        guest.accepts(isRight);
        collect();
    }

    boolean isServed() {
        return ring.isOpen();
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
}

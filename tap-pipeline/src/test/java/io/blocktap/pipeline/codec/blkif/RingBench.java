package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.tap.loopback.LoopbackTapFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** A loopback tap over a small disk whose terminator can hold requests back, fail them and tell what it saw. */
final class RingBench implements AutoCloseable {
    static final int DISK_BYTES = 4 << 20;

    final TapLoops loops;
    final Storage storage = new Storage();
    final Disk disk;
    final Tap tap;
    final String path;

    RingBench(Path directory, long inFlightBytes, Feature... features) throws Exception {
        loops = new TapLoops(new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory()), inFlightBytes);
        storage.features = features;
        disk = new DiskOpener(loops, NO_WORKERS, InstantSource.system())
                .open("", "storage", List.of(new DiskOpener.Unopened("storage", storage)));
        path = directory.resolve("ring.sock").toString();
        LoopbackTapFactory factory = new LoopbackTapFactory();
        tap = factory.open(
                OptionValues.parse(StageText.parse("loopback:" + path), factory.options()),
                new DiskRegistry(List.of(disk)),
                loops);
    }

    RingBench(Path directory) throws Exception {
        this(directory, 64 << 20, Feature.FLUSH, Feature.FUA, Feature.DISCARD);
    }

    RawFrontend connect() throws Exception {
        return new RawFrontend(path, io.blocktap.transport.ring.BlkifLayout.X86_64, 0, 512);
    }

    int buffersInUse() throws Exception {
        return disk.home()
                .submit(() -> loops.memory(disk.home()).buffersInUse())
                .get(5, TimeUnit.SECONDS);
    }

    @Override
    public void close() {
        tap.stopTaking().orTimeout(10, TimeUnit.SECONDS).join();
        storage.releaseAll(BlockStatus.OK);
        disk.drain().orTimeout(10, TimeUnit.SECONDS).join();
        tap.close().orTimeout(10, TimeUnit.SECONDS).join();
        disk.close();
        loops.close();
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

    /** Bytes in an array. Written by the disk's loop, read by the test between requests. */
    static final class Storage implements Stage, RequestHook {
        final byte[] bytes = new byte[DISK_BYTES];
        final List<String> seen = new CopyOnWriteArrayList<>();
        final List<BlockRequest> held = new CopyOnWriteArrayList<>();
        volatile Predicate<BlockRequest> hold = request -> false;
        volatile @Nullable BlockStatus failFlushes;
        Feature[] features = {};

        @Override
        public Geometry open(StageContext context, @Nullable Geometry below) {
            return Geometry.ofSize(DISK_BYTES, features);
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            if (seen.size() < 1000) {
                seen.add(request.op() + (request.isFua() ? "+FUA" : ""));
            }
            BlockStatus failure = failFlushes;
            if (request.op() == BlockOp.FLUSH && failure != null) {
                return request.respond(failure);
            }
            int offset = (int) request.offsetBytes();
            switch (request.op()) {
                case READ -> request.data().setBytes(0, bytes, offset, request.dataLength());
                case WRITE -> request.data().getBytes(0, bytes, offset, request.dataLength());
                case DISCARD, WRITE_ZEROES ->
                    Arrays.fill(bytes, offset, offset + (int) request.lengthBytes(), (byte) 0);
                case FLUSH -> {
                    // an array is as stable as it gets
                }
            }
            if (hold.test(request)) {
                held.add(request);
                return Verdict.STOLEN;
            }
            return request.respond(BlockStatus.OK);
        }

        void releaseAll(BlockStatus status) {
            hold = request -> false;
            List<BlockRequest> all = new ArrayList<>(held);
            held.removeAll(all);
            all.forEach(request -> request.complete(status));
        }

        @Override
        public void close() {}
    }
}

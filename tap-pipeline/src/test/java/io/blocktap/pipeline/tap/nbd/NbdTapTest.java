package io.blocktap.pipeline.tap.nbd;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.FROM_WORKERS;
import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.WHEN_RELEASED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import com.sun.management.ThreadMXBean;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.ControlHook;
import io.blocktap.pipeline.ControlMessage;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskOpener;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.codec.nbd.Nbd;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.socket.SocketTransport;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.TestPool;
import io.blocktap.transport.memory.SlabAllocator;
import io.netty.channel.EventLoop;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.uring.IoUring;
import io.netty.channel.uring.IoUringIoHandler;
import java.lang.management.ManagementFactory;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A server on real sockets. */
@Timeout(60)
final class NbdTapTest {
    private static final int SIZE = 8 << 20;
    /** The longest READ or WRITE. */
    private static final int LARGEST = 32 << 20;

    /** What the loops run on. */
    enum Io {
        EPOLL,
        IO_URING;

        IoHandlerFactory handlers() {
            if (this == IO_URING) {
                Assumptions.assumeTrue(IoUring.isAvailable(), "io_uring is not available here");
                return IoUringIoHandler.newFactory();
            }
            return EpollIoHandler.newFactory();
        }
    }

    @TempDir
    Path directory;

    private final List<AutoCloseable> toClose = new ArrayList<>();
    private final TestPool workers = new TestPool(2);
    private TapLoops loops;
    private Tap tap;

    /** Passes requests on, confined to one loop, and notes which threads it ran on. */
    private static final class Confined implements Stage, RequestHook {
        final Set<Thread> threads = ConcurrentHashMap.newKeySet();

        @Override
        public Geometry open(StageContext context, Geometry below) {
            return below;
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            threads.add(Thread.currentThread());
            return Verdict.PASS;
        }

        @Override
        public void close() {
            // nothing was opened
        }
    }

    /** Refuses every session. */
    private static final class Bouncer implements Stage, ControlHook {
        @Override
        public Geometry open(StageContext context, Geometry below) {
            return below;
        }

        @Override
        public void onControl(ControlMessage message) throws RefusedException {
            if (message instanceof ControlMessage.Connect) {
                throw new RefusedException("members only");
            }
        }

        @Override
        public void close() {
            // nothing was opened
        }
    }

    /** Wants data aligned, and counts whose were. */
    private static final class WantsAlignment implements Stage, RequestHook {
        final AtomicInteger aligned = new AtomicInteger();
        final AtomicInteger unaligned = new AtomicInteger();
        private final int alignment;

        WantsAlignment(int alignment) {
            this.alignment = alignment;
        }

        @Override
        public Geometry open(StageContext context, Geometry below) {
            return new Geometry(below.sizeBytes(), 1, 512, 4096, 0, alignment, below.features());
        }

        @Override
        public Sharing sharing() {
            return Sharing.THREAD_SAFE;
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            if (((request.offsetBytes() | request.lengthBytes()) & alignment - 1) == 0) {
                boolean isAligned = (request.data().memoryAddress() & alignment - 1) == 0;
                (isAligned ? aligned : unaligned).incrementAndGet();
            }
            return Verdict.PASS;
        }

        @Override
        public void close() {
            // nothing was opened
        }
    }

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable client : toClose) {
            client.close();
        }
        if (tap != null) {
            tap.close().get(20, TimeUnit.SECONDS);
        }
        if (loops != null) {
            for (var loop : loops.group()) {
                EventLoop eventLoop = (EventLoop) loop;
                await().untilAsserted(() -> assertThat(CompletableFuture.supplyAsync(
                                        () -> loops.memory(eventLoop).buffersInUse(), eventLoop)
                                .get())
                        .isZero());
            }
            loops.close();
        }
        workers.close();
    }

    private Path socket() {
        return directory.resolve("s.sock");
    }

    private Disk disk(String name, Stage... stages) throws StageException {
        List<DiskOpener.Unopened> chain = new ArrayList<>();
        Arrays.stream(stages)
                .forEach(stage ->
                        chain.add(new DiskOpener.Unopened(stage.getClass().getSimpleName(), stage)));
        return new DiskOpener(loops, workers, InstantSource.system()).open(name, "of " + name, chain);
    }

    private void loops(Io io, int count) {
        loops = new TapLoops(new MultiThreadIoEventLoopGroup(count, io.handlers()), 64 << 20);
    }

    private Tap open(String text, Disk... disks) throws Exception {
        NbdTapFactory factory = new NbdTapFactory();
        tap = factory.open(
                OptionValues.parse(StageText.parse(text), factory.options()), new DiskRegistry(List.of(disks)), loops);
        return tap;
    }

    private RawNbdClient client() throws Exception {
        RawNbdClient client = RawNbdClient.connect(socket());
        toClose.add(client);
        return client;
    }

    // ---- requests over a socket

    @ParameterizedTest
    @EnumSource
    void servesReadsAndWritesOfAllSizes(Io io) throws Exception {
        loops(io, 1);
        ReferenceDisk reference = new ReferenceDisk(SIZE, FROM_WORKERS);
        open("nbd:unix=" + socket(), disk("", reference));
        RawNbdClient client = client().go("");
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        Frames frames = new Frames();

        for (int round = 0; round < 200; round++) {
            int length = 1 + random.nextInt(random.nextInt(4) == 0 ? 1 << 20 : 20_000);
            int offset = random.nextInt(SIZE - length);
            byte[] data = new byte[length];
            random.nextBytes(data);
            client.send(frames.write(round, offset, data).take());
            assertThat(client.answer(0).errno()).isZero();
            client.send(frames.read(round, offset, length).take());
            Frames.Answer answer = client.answer(length);
            assertThat(answer.cookie()).isEqualTo(round);
            assertThat(Arrays.equals(answer.data(), data))
                    .as("seed %d, round %d, %d bytes", seed, round, length)
                    .isTrue();
        }
    }

    @ParameterizedTest
    @EnumSource
    void answersALongPipeOfRequests(Io io) throws Exception {
        loops(io, 1);
        ReferenceDisk reference = new ReferenceDisk(SIZE, FROM_WORKERS);
        open("nbd:tcp=127.0.0.1:0,max-requests=20,max-bytes=100k", disk("", reference));
        int port = Integer.parseInt(tap.uris().get(0).replaceAll("nbd://127.0.0.1:(\\d+)/", "$1"));
        RawNbdClient client = RawNbdClient.connect(port);
        toClose.add(client);
        client.go("");
        int count = 3000;
        Frames frames = new Frames();
        for (int i = 0; i < count; i++) {
            frames.read(i, i * 100L, 4096);
            frames.write(i + count, i * 10L, new byte[700]);
        }
        byte[] all = frames.take();

        CompletableFuture<Void> sent = CompletableFuture.runAsync(() -> {
            try {
                client.send(all);
            } catch (java.io.IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        });
        Set<Long> cookies = ConcurrentHashMap.newKeySet();
        for (int i = 0; i < 2 * count; i++) {
            var header = client.receive(16);
            header.getInt();
            assertThat(header.getInt()).isZero();
            long cookie = header.getLong();
            cookies.add(cookie);
            client.receive(cookie < count ? 4096 : 0);
        }

        sent.get();
        assertThat(cookies).hasSize(2 * count);
    }

    @ParameterizedTest
    @EnumSource
    void allocatesNothingForARequest(Io io) throws Exception {
        loops(io, 1);
        open("nbd:unix=" + socket(), disk("", new ReferenceDisk(SIZE, AT_ONCE)));
        RawNbdClient client = client().go("");
        Frames frames = new Frames();
        byte[] data = new byte[4096];
        for (int i = 0; i < 32; i++) {
            frames.read(i, i * 4096L, 4096).write(i, i * 8192L, data);
        }
        byte[] batch = frames.take();
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long loopThread = CompletableFuture.supplyAsync(
                        () -> Thread.currentThread().getId(), loops.group().next())
                .get();

        double bytes = Double.MAX_VALUE;
        for (int round = 0; round < 10 && bytes > 2; round++) {
            long before = threads.getThreadAllocatedBytes(loopThread);
            for (int i = 0; i < 200; i++) {
                client.send(batch);
                client.receive(32 * (16 + 4096 + 16));
            }
            bytes = (threads.getThreadAllocatedBytes(loopThread) - before) / (200.0 * 64);
        }

        // On io_uring Netty itself allocates for each system call.
        assertThat(bytes).as("bytes a request").isLessThan(io == Io.EPOLL ? 2 : 100);
    }

    // ---- haggling

    @ParameterizedTest
    @EnumSource
    void haggles(Io io) throws Exception {
        loops(io, 1);
        open(
                "nbd:unix=" + socket(),
                disk("a", new ReferenceDisk(SIZE, AT_ONCE)),
                disk("b b", new ReferenceDisk(512, AT_ONCE)));
        RawNbdClient client = client().greet();
        Frames frames = new Frames();

        client.send(frames.option(Nbd.OPT_STRUCTURED_REPLY, new byte[0])
                .option(Nbd.OPT_LIST, new byte[0])
                .option(Nbd.OPT_INFO, Frames.exportData("nobody"))
                .option(Nbd.OPT_INFO, Frames.exportData(""))
                .option(Nbd.OPT_INFO, Frames.exportData("a"))
                .go("b b")
                .read(5, 0, 512)
                .take());

        assertThat(client.optionReplies().get(0).type()).isEqualTo(Nbd.REP_ERR_UNSUP);
        assertThat(client.optionReplies())
                .extracting(RawNbdClient.OptionReply::text)
                .as("the stages' names, not the chain with its paths")
                .containsExactly("\0\0\0\1aReferenceDisk", "\0\0\0\3b bReferenceDisk", "");
        assertThat(client.optionReplies().get(0).type()).isEqualTo(Nbd.REP_ERR_UNKNOWN);
        assertThat(client.optionReplies().get(0).type()).isEqualTo(Nbd.REP_ERR_UNKNOWN);
        assertThat(client.optionReplies()).hasSize(3);
        client.assertGone();
        assertThat(client.answer(512).errno()).isZero();
    }

    @Test
    void refusalIsLoggedOnceThoughClientsAskTwice() throws Exception {
        loops(Io.EPOLL, 1);
        open("nbd:unix=" + socket(), disk("a", new ReferenceDisk(SIZE, AT_ONCE)));
        ListAppender<ILoggingEvent> log = new ListAppender<>();
        log.start();
        ((Logger) NbdTap.LOG).setLevel(Level.INFO);
        ((Logger) NbdTap.LOG).addAppender(log);
        try {
            RawNbdClient client = client().greet();
            client.send(new Frames()
                    .option(Nbd.OPT_INFO, Frames.exportData("nobody"))
                    .go("nobody")
                    .take());
            assertThat(client.optionReplies().get(0).type()).isEqualTo(Nbd.REP_ERR_UNKNOWN);
            assertThat(client.optionReplies().get(0).type()).isEqualTo(Nbd.REP_ERR_UNKNOWN);
        } finally {
            ((Logger) NbdTap.LOG).detachAppender(log);
            ((Logger) NbdTap.LOG).setLevel(null);
        }
        assertThat(log.list)
                .filteredOn(event -> event.getFormattedMessage().contains("refused"))
                .singleElement()
                .extracting(ILoggingEvent::getFormattedMessage)
                .asString()
                .contains("no disk 'nobody'");
    }

    @Test
    void servesTheOldOption() throws Exception {
        loops(Io.EPOLL, 1);
        open("nbd:unix=" + socket(), disk("a", new ReferenceDisk(SIZE, AT_ONCE)));
        RawNbdClient client = client();
        client.receive(18);

        client.send(new Frames()
                .clientFlags(1)
                .option(Nbd.OPT_EXPORT_NAME, new byte[0])
                .flush(7)
                .take());

        assertThat(client.receive(8 + 2 + 124).getLong()).isEqualTo(SIZE);
        assertThat(client.answer(0).cookie()).isEqualTo(7);
        RawNbdClient other = client().greet();
        other.send(new Frames().option(Nbd.OPT_EXPORT_NAME, new byte[] {'x'}).take());
        other.assertClosed();
        RawNbdClient third = client().greet();
        third.send(new Frames().option(Nbd.OPT_ABORT, new byte[0]).take());
        assertThat(third.optionReplies().get(0).type()).isEqualTo(Nbd.REP_ACK);
        third.assertClosed();
    }

    @Test
    void tellsWhyASessionIsRefused() throws Exception {
        loops(Io.EPOLL, 1);
        open("nbd:unix=" + socket(), disk("", new Bouncer(), new ReferenceDisk(SIZE, AT_ONCE)));
        RawNbdClient client = client().greet();

        client.send(new Frames().go("").take());

        RawNbdClient.OptionReply reply = client.optionReplies().get(0);
        assertThat(reply.type()).isEqualTo(Nbd.REP_ERR_POLICY);
        assertThat(reply.text()).contains("members only");
        client.send(new Frames().option(Nbd.OPT_EXPORT_NAME, new byte[0]).take());
        client.assertClosed();
    }

    @Test
    void closesOnAClientThatNeverChooses() throws Exception {
        loops(Io.EPOLL, 1);
        open("nbd:unix=" + socket() + ",handshake-timeout=50ms", disk("", new ReferenceDisk(SIZE, AT_ONCE)));

        client().greet().assertClosed();
    }

    @ParameterizedTest
    @EnumSource
    void closesOnAClientThatTakesNoReplies(Io io) throws Exception {
        loops(io, 1);
        open("nbd:unix=" + socket() + ",send-timeout=500ms", disk("", new ReferenceDisk(SIZE, AT_ONCE)));
        RawNbdClient silent = client().go("");
        Frames frames = new Frames();
        for (int i = 0; i < 16; i++) {
            frames.read(i, 0, 1 << 20);
        }
        silent.send(frames.take());

        EventLoop loop = (EventLoop) loops.group().iterator().next();
        SlabAllocator slabs =
                CompletableFuture.supplyAsync(() -> loops.memory(loop), loop).get();
        // Seen within the timeout, or never.
        await().pollInterval(Duration.ofMillis(5))
                .untilAsserted(() -> assertThat(slabs.budget().usedBytes()).isPositive());
        await().untilAsserted(() -> assertThat(slabs.budget().usedBytes()).isZero());

        assertThat(silent.bytesUntilTheEnd()).isLessThan(16 << 20);
        RawNbdClient other = client().go("");
        other.send(frames.read(1, 0, 1 << 20).take());
        assertThat(other.answer(1 << 20).errno()).isZero();
    }

    @ParameterizedTest
    @EnumSource
    void clientsThatTakeNoRepliesLeaveMemoryForOthers(Io io) throws Exception {
        loops(io, 1);
        open("nbd:unix=" + socket(), disk("", new ReferenceDisk(SIZE, AT_ONCE)));
        Frames frames = new Frames();
        for (int i = 0; i < 10; i++) {
            RawNbdClient silent = client().go("");
            for (int j = 0; j < 64; j++) {
                frames.read(j, 0, 1 << 20);
            }
            silent.send(frames.take());
        }

        RawNbdClient other = client().go("");
        for (int i = 0; i < 20; i++) {
            other.send(frames.read(i, 0, 1 << 20).take());
            assertThat(other.answer(1 << 20).cookie()).isEqualTo(i);
        }
    }

    @ParameterizedTest
    @EnumSource
    void closesOnAClientThatTakesNothingOfASmallReply(Io io) throws Exception {
        loops(io, 1);
        open("nbd:unix=" + socket() + ",send-timeout=100ms", disk("", new ReferenceDisk(SIZE, AT_ONCE)));
        RawNbdClient silent = client().go("");

        silent.send(
                new Frames().read(1, 0, 900 << 10).take()); // more than the socket takes, less than stops the reading

        silent.assertClosedUnread();
    }

    @ParameterizedTest
    @EnumSource
    void closesOnAClientThatDoesNotEndItsWrite(Io io) throws Exception {
        loops(io, 1);
        open("nbd:unix=" + socket() + ",send-timeout=100ms", disk("", new ReferenceDisk(SIZE, AT_ONCE)));
        RawNbdClient silent = client().go("");

        silent.send(Arrays.copyOf(new Frames().write(1, 0, new byte[1 << 20]).take(), 300_000));

        silent.assertClosed();
    }

    @ParameterizedTest
    @EnumSource
    void leavesAClientAloneThatAsksForNothing(Io io) throws Exception {
        loops(io, 1);
        open("nbd:unix=" + socket() + ",send-timeout=20ms", disk("", new ReferenceDisk(SIZE, AT_ONCE)));
        RawNbdClient idle = client().go("");
        RawNbdClient silent = client().go("");
        Frames frames = new Frames();
        idle.send(frames.read(1, 0, 1 << 20).take());
        idle.answer(1 << 20);

        silent.send(frames.read(1, 0, 1 << 20).take());
        silent.assertClosedUnread(); // the time is over

        idle.send(frames.read(2, 0, 1 << 20).take());
        assertThat(idle.answer(1 << 20).cookie()).isEqualTo(2);
    }

    @ParameterizedTest
    @EnumSource
    void closesSoonerOnClientsThatTakeNothingWhenOthersWaitForMemory(Io io) throws Exception {
        loops = new TapLoops(new MultiThreadIoEventLoopGroup(1, io.handlers()), 8 << 20);
        open("nbd:unix=" + socket() + ",send-timeout=40s", disk("", new ReferenceDisk(SIZE, AT_ONCE)));
        Frames frames = new Frames();
        for (int i = 0; i < 20; i++) {
            for (int j = 0; j < 8; j++) {
                frames.read(j, 0, 512 << 10);
            }
            client().go("").send(frames.take());
        }
        await().untilAsserted(() -> assertThat(loops.budget().isWaitedFor()).isTrue());
        long start = System.nanoTime();

        RawNbdClient other = client().go("");
        other.send(frames.read(1, 0, 1 << 20).take());

        assertThat(other.answer(1 << 20).errno()).isZero();
        assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(30));
    }

    @ParameterizedTest
    @EnumSource
    void clientsThatTakeNothingOfTheLargestReadsLeaveMemoryForOthers(Io io) throws Exception {
        loops = new TapLoops(new MultiThreadIoEventLoopGroup(1, io.handlers()), 256 << 20);
        open("nbd:unix=" + socket(), disk("", new ReferenceDisk(LARGEST, AT_ONCE)));
        Frames frames = new Frames();
        for (int i = 0; i < 12; i++) {
            client().go("").send(frames.read(i, 0, LARGEST).take());
        }

        assertGoesOn(frames);
    }

    @ParameterizedTest
    @EnumSource
    void clientsThatBeginTheLargestWritesAndSendNoMoreLeaveMemoryForOthers(Io io) throws Exception {
        loops = new TapLoops(new MultiThreadIoEventLoopGroup(1, io.handlers()), 256 << 20);
        open("nbd:unix=" + socket(), disk("", new ReferenceDisk(LARGEST, AT_ONCE)));
        Frames frames = new Frames();
        for (int i = 0; i < 12; i++) {
            byte[] whole = frames.write(i, 0, new byte[LARGEST]).take();
            client().go("").send(Arrays.copyOf(whole, 100));
        }

        assertGoesOn(frames);
    }

    private void assertGoesOn(Frames frames) throws Exception {
        RawNbdClient other = client().go("");
        for (int i = 0; i < 20; i++) {
            other.send(frames.read(i, 0, 1 << 20).take());
            assertThat(other.answer(1 << 20).cookie()).isEqualTo(i);
        }
    }

    @ParameterizedTest
    @EnumSource
    void alignsDataForADiskThatAsksForIt(Io io) throws Exception {
        loops(io, 1);
        WantsAlignment wants = new WantsAlignment(4096);
        ReferenceDisk reference = new ReferenceDisk(SIZE, AT_ONCE);
        open("nbd:unix=" + socket(), disk("", wants, reference));
        RawNbdClient client = client().go("");
        byte[] data = new byte[64 << 10];
        new Random(1).nextBytes(data);
        Frames frames = new Frames();

        for (int length = 4096; length <= data.length; length *= 2) {
            byte[] some = Arrays.copyOf(data, length);
            client.send(frames.write(1, 0, some)
                    .write(2, 1 << 20, some)
                    .read(3, 0, length)
                    .read(4, 100, 5000)
                    .read(5, 1 << 20, length)
                    .take());
            assertThat(client.answer(0).errno()).isZero();
            assertThat(client.answer(0).errno()).isZero();
            assertThat(Arrays.equals(client.answer(length).data(), some)).isTrue();
            assertThat(client.answer(5000).errno()).isZero();
            assertThat(Arrays.equals(client.answer(length).data(), some)).isTrue();
        }

        assertThat(wants.aligned).hasValue(5 * 4);
        assertThat(wants.unaligned).hasValue(0);
    }

    @Test
    void refusesMoreConnectionsThanAllowed() throws Exception {
        loops(Io.EPOLL, 1);
        open("nbd:unix=" + socket() + ",max-connections=1", disk("", new ReferenceDisk(SIZE, AT_ONCE)));
        RawNbdClient first = client().go("");
        client().assertClosed();
        first.close();

        await().untilAsserted(() -> {
            try (RawNbdClient second = RawNbdClient.connect(socket())) {
                second.go("");
            }
        });
    }

    // ---- event loops

    @ParameterizedTest
    @EnumSource
    void movesToTheLoopOfAPinnedDiskAndLosesNothing(Io io) throws Exception {
        loops(io, 3);
        List<Confined> stages = List.of(new Confined(), new Confined(), new Confined());
        Disk[] disks = new Disk[3];
        for (int i = 0; i < 3; i++) {
            disks[i] = disk("d" + i, stages.get(i), new ReferenceDisk(SIZE, AT_ONCE));
        }
        open("nbd:unix=" + socket(), disks);

        for (int i = 0; i < 12; i++) {
            RawNbdClient client = client().greet();
            Frames frames = new Frames().go("d" + i % 3);
            // The client does not wait for the answer to GO, so these bytes are there before the move.
            for (int j = 0; j < 100; j++) {
                frames.write(j, j * 1000, Integer.toString(j).repeat(100).getBytes(StandardCharsets.US_ASCII));
            }
            byte[] bytes = frames.take();
            client.send(Arrays.copyOf(bytes, bytes.length - 10));
            client.assertGone();
            client.send(Arrays.copyOfRange(bytes, bytes.length - 10, bytes.length));
            for (int j = 0; j < 100; j++) {
                assertThat(client.answer(0))
                        .extracting(Frames.Answer::cookie, Frames.Answer::errno)
                        .containsExactly((long) j, 0);
            }
        }

        assertThat(stages).allSatisfy(stage -> assertThat(stage.threads).hasSize(1));
    }

    @Test
    void saysWhatLoopsItNeeds() {
        loops = new TapLoops(new MultiThreadIoEventLoopGroup(1, NioIoHandler.newFactory()), 1 << 20);

        assertThatThrownBy(() -> open("nbd:unix=" + socket()))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("epoll or io_uring");
    }

    // ---- the socket

    @Test
    void replacesTheSocketOfADeadServerButNoOther() throws Exception {
        loops(Io.EPOLL, 1);
        Disk disk = disk("", new ReferenceDisk(SIZE, AT_ONCE));
        try (ServerSocketChannel live = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            live.bind(UnixDomainSocketAddress.of(socket()));
            assertThatThrownBy(() -> open("nbd:unix=" + socket(), disk))
                    .isInstanceOf(StageException.class)
                    .hasMessageContaining("in use by a running server");
        }
        Path file = Files.writeString(directory.resolve("file"), "precious");
        assertThatThrownBy(() -> open("nbd:unix=" + file, disk))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("is no socket");
        assertThat(file).hasContent("precious");

        Path usual = directory.resolve("usual");
        open("nbd:unix=" + usual, disk);
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(usual)))
                .isEqualTo("rw-------");
        tap.close().get(10, TimeUnit.SECONDS);

        open("nbd:unix=" + socket() + ",mode=640", disk);

        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket())))
                .isEqualTo("rw-r-----");
        client().go("");
        tap.close().get(10, TimeUnit.SECONDS);
        assertThat(socket()).doesNotExist();
    }

    @ParameterizedTest
    @EnumSource
    void leavesAloneWhatWasPutInThePlaceOfItsSocket(Io io) throws Exception {
        loops(io, 1);
        Disk disk = disk("", new ReferenceDisk(SIZE, AT_ONCE));
        Tap first = open("nbd:unix=" + socket(), disk);
        Files.delete(socket());
        Files.writeString(socket(), "a file");
        first.close().get(20, TimeUnit.SECONDS);
        assertThat(socket()).hasContent("a file");
        Files.delete(socket());

        Tap second = open("nbd:unix=" + socket(), disk);
        Files.delete(socket());
        open("nbd:unix=" + socket(), disk);
        second.close().get(20, TimeUnit.SECONDS);
        client().go("");

        tap.close().get(20, TimeUnit.SECONDS);
        assertThat(socket()).doesNotExist();
    }

    @Test
    void onlyOneOfManyThatStartAtOnceReplacesADeadServersSocket() throws Exception {
        loops(Io.EPOLL, 1);
        Disk disk = disk("", new ReferenceDisk(SIZE, AT_ONCE));
        NbdTapFactory factory = new NbdTapFactory();
        ExecutorService starters = Executors.newFixedThreadPool(8);
        try {
            for (int round = 0; round < 20; round++) {
                ServerSocketChannel dead = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
                dead.bind(UnixDomainSocketAddress.of(socket()));
                dead.close();
                CyclicBarrier together = new CyclicBarrier(8);
                List<Future<Tap>> started = new ArrayList<>();
                for (int i = 0; i < 8; i++) {
                    started.add(starters.submit(() -> {
                        OptionValues values =
                                OptionValues.parse(StageText.parse("nbd:unix=" + socket()), factory.options());
                        together.await();
                        return factory.open(values, new DiskRegistry(List.of(disk)), loops);
                    }));
                }
                List<Tap> taps = new ArrayList<>();
                for (Future<Tap> each : started) {
                    try {
                        taps.add(each.get());
                    } catch (ExecutionException e) {
                        assertThat(e.getCause())
                                .isInstanceOf(StageException.class)
                                .hasMessageContaining("in use by a running server");
                    }
                }
                assertThat(taps).hasSize(1);
                try (RawNbdClient client = RawNbdClient.connect(socket())) {
                    client.go("");
                }
                taps.get(0).close().get(20, TimeUnit.SECONDS);
            }
        } finally {
            starters.shutdown();
        }
    }

    @Test
    void saysWhatIsWrongWithItsOptions() throws Exception {
        loops(Io.EPOLL, 1);
        Disk disk = disk("", new ReferenceDisk(SIZE, AT_ONCE));
        List<String> wrong = List.of(
                "nbd",
                "either unix=PATH or tcp=HOST:PORT",
                "nbd:unix=/tmp/x,tcp=127.0.0.1:0",
                "either unix=PATH or tcp=HOST:PORT",
                "nbd:unix=/" + "x".repeat(107),
                "at most 107",
                "nbd:unix=" + socket() + ",mode=888",
                "three octal digits",
                "nbd:unix=" + socket() + ",max-requests=0",
                "1 to 65536",
                "nbd:unix=" + socket() + ",handshake-timeout=1ns",
                "1ms to 60min",
                "nbd:unix=" + directory.resolve("no/s"),
                "there is no directory");
        for (int i = 0; i < wrong.size(); i += 2) {
            String text = wrong.get(i);
            assertThatThrownBy(() -> open(text, disk))
                    .isInstanceOf(StageException.class)
                    .hasMessageContaining(wrong.get(i + 1));
        }
    }

    @Test
    void namesItsDisksInUris() throws Exception {
        loops(Io.EPOLL, 1);
        Path odd = directory.resolve("a b%.sock");
        open(
                "nbd:unix=" + odd,
                disk("", new ReferenceDisk(512, AT_ONCE)),
                disk("x?y", new ReferenceDisk(512, AT_ONCE)));

        String encoded = directory + "/a%20b%25.sock";
        assertThat(tap.uris()).containsExactly("nbd+unix:///?socket=" + encoded, "nbd+unix:///x%3Fy?socket=" + encoded);
        assertThat(SocketTransport.hostAndPort("::1", 5)).isEqualTo("[::1]:5");
    }

    // ---- the end

    @ParameterizedTest
    @EnumSource
    void answersWhatIsInFlightAndThenCloses(Io io) throws Exception {
        loops(io, 2);
        ReferenceDisk reference = new ReferenceDisk(SIZE, WHEN_RELEASED);
        Disk disk = disk("", reference);
        open("nbd:unix=" + socket(), disk);
        RawNbdClient client = client().go("");
        RawNbdClient haggler = client().greet();
        Frames frames = new Frames();
        client.send(frames.read(1, 0, 1 << 20).take());
        await().until(() -> reference.held() == 1);

        tap.stopTaking().get(10, TimeUnit.SECONDS);
        client.send(frames.flush(2).take());
        assertThat(client.answer(0).errno()).isEqualTo(Nbd.ESHUTDOWN);
        haggler.send(frames.go("").take());
        assertThat(haggler.optionReplies().get(0).type()).isEqualTo(Nbd.REP_ERR_SHUTDOWN);
        assertThatThrownBy(this::client).isInstanceOf(java.io.IOException.class);

        CompletableFuture<BlockStatus> drained = disk.drain();
        await().untilAsserted(() -> {
            reference.release();
            assertThat(drained).isCompletedWithValue(BlockStatus.OK);
        });
        CompletableFuture<Void> closed = tap.close();
        assertThat(client.answer(1 << 20).errno()).isZero();
        client.assertClosed();
        haggler.assertClosed();
        closed.get(10, TimeUnit.SECONDS);
        disk.close();
    }

    @Test
    void survivesClientsThatVanish() throws Exception {
        loops(Io.EPOLL, 2);
        ReferenceDisk reference = new ReferenceDisk(SIZE, FROM_WORKERS);
        Disk disk = disk("", reference);
        open("nbd:unix=" + socket(), disk);
        Random random = new Random(7);
        for (int i = 0; i < 100; i++) {
            try (RawNbdClient client = RawNbdClient.connect(socket())) {
                client.go("");
                Frames frames = new Frames();
                for (int j = 0; j < 20; j++) {
                    frames.read(j, 0, 10_000).write(j, 0, new byte[random.nextInt(200_000)]);
                }
                byte[] bytes = frames.take();
                client.send(Arrays.copyOf(bytes, random.nextInt(100_000)));
            }
        }

        await().until(() -> disk.sessions().isEmpty());
        assertThat(client().go("")).isNotNull();
    }
}

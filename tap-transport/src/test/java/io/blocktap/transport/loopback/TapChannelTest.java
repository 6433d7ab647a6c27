package io.blocktap.transport.loopback;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.blocktap.transport.GuestMemory;
import io.blocktap.transport.LogCapture;
import io.blocktap.transport.LoopKind;
import io.blocktap.transport.OpenFds;
import io.blocktap.transport.TapChannelOption;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.RingProtocolException;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.util.AttributeKey;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** A ring as a Netty channel, with a real frontend at its other end. */
@ParameterizedClass
@EnumSource
@Timeout(120)
@SuppressWarnings("try") // one end is closed early on purpose
class TapChannelTest {
    private static final AttributeKey<String> NAME = AttributeKey.valueOf("TapChannelTest.name");

    private final LoopKind kind;

    @TempDir
    private Path folder;

    private TestTap tap;

    TapChannelTest(LoopKind kind) {
        this.kind = kind;
    }

    @BeforeEach
    void start() {
        tap = new TestTap(kind, folder.resolve("tap"));
    }

    @AfterEach
    void stop() {
        tap.close();
    }

    private static ByteBuf random(int length, long seed) {
        byte[] bytes = new byte[length];
        new Random(seed).nextBytes(bytes);
        return Unpooled.wrappedBuffer(bytes);
    }

    // ---- serving

    @ParameterizedTest
    @CsvSource({"X86_64,1,1", "X86_64,2,16", "X86_64,16,400", "X86_32,1,32", "X86_32,4,64", "X86_32,8,3"})
    void servesReadsAndWrites(BlkifLayout layout, int pages, int depth) {
        tap.bind();
        long seed = new Random().nextLong();
        try (LoopbackFrontend disk = tap.connect(new LoopbackFrontend.Options(layout, pages, depth, 16384))) {
            ByteBuf data = random(1 << 20, seed);
            disk.write(3 * 512, data).join();
            disk.flush().join();
            ByteBuf back = Unpooled.buffer(1 << 20, 1 << 20);
            disk.read(3 * 512, back).join();

            assertThat(back).as("seed %d", seed).isEqualTo(data);
            assertThat(tap.content.slice(3 * 512, 1 << 20)).as("seed %d", seed).isEqualTo(data);
            disk.discard(1024, 4096).join();
            assertThat(tap.content.getLong(1024)).isZero();
            assertThat(tap.awaitChannel(1).ring().layout()).isEqualTo(layout);
        }
    }

    @Test
    void servesManyFrontendsAtATime() {
        tap.bind();
        LoopbackFrontend[] disks = new LoopbackFrontend[8];
        CompletableFuture<?>[] writes = new CompletableFuture<?>[disks.length * 20];
        for (int i = 0; i < disks.length; i++) {
            disks[i] = tap.connect();
        }
        for (int i = 0; i < writes.length; i++) {
            writes[i] = disks[i % disks.length].write(i * 8192L, random(8192, i));
        }
        CompletableFuture.allOf(writes).join();

        for (int i = 0; i < writes.length; i++) {
            assertThat(tap.content.slice(i * 8192, 8192)).isEqualTo(random(8192, i));
        }
        for (LoopbackFrontend disk : disks) {
            disk.close();
        }
    }

    // ---- Netty's idioms

    @Test
    void takesOptionsAndAttributesOfBootstraps() {
        tap.bind(tap.bootstrap()
                .option(TapChannelOption.MAX_SESSIONS, 7)
                .option(TapChannelOption.HANDSHAKE_TIMEOUT_MILLIS, 1234)
                .attr(NAME, "server")
                .childAttr(NAME, "child")
                .childOption(ChannelOption.AUTO_CLOSE, false));

        LoopbackFrontendChannel frontend = (LoopbackFrontendChannel) new Bootstrap()
                .group(tap.group)
                .channel(LoopbackFrontendChannel.class)
                .attr(NAME, "frontend")
                .handler(new ChannelInboundHandlerAdapter())
                .connect(tap.address)
                .syncUninterruptibly()
                .channel();

        LoopbackTapChannel child = tap.awaitChannel(1);
        assertThat(tap.server().config().getOption(TapChannelOption.MAX_SESSIONS))
                .isEqualTo(7);
        assertThat(tap.server().config().getOption(TapChannelOption.HANDSHAKE_TIMEOUT_MILLIS))
                .isEqualTo(1234);
        assertThat(tap.server().config().getOptions())
                .containsEntry(TapChannelOption.MAX_SESSIONS, 7)
                .containsKey(ChannelOption.AUTO_READ);
        assertThat(tap.server().attr(NAME).get()).isEqualTo("server");
        assertThat(child.attr(NAME).get()).isEqualTo("child");
        assertThat(child.config().isAutoClose()).isFalse();
        assertThat(frontend.attr(NAME).get()).isEqualTo("frontend");
        assertThat(child.parent()).isSameAs(tap.server());
        assertThat(child.localAddress()).isEqualTo(tap.address);
        assertThat(tap.server().localAddress()).isEqualTo(tap.address);
        assertThat(frontend.remoteAddress()).isEqualTo(tap.address);
        assertThat(child.isActive() && child.isWritable() && frontend.isActive())
                .isTrue();
        frontend.close().syncUninterruptibly();
        assertThat(child.closeFuture().awaitUninterruptibly(10, TimeUnit.SECONDS))
                .isTrue();
    }

    @Test
    void readsOnlyWhenAllowed() {
        tap.bind(tap.bootstrap().childOption(ChannelOption.AUTO_READ, false));
        try (LoopbackFrontend disk = tap.connect()) {
            LoopbackTapChannel child = tap.awaitChannel(1);
            RamDisk backend = tap.disks.get(0);
            CompletableFuture<Void> first = disk.flush();
            settle(child);
            assertThat(backend.requests).hasValue(0);

            child.read();
            first.join();
            assertThat(backend.requests).hasValue(1);
            settle(child); // what comes before the turn has ended may be taken with it
            CompletableFuture<Void> second = disk.flush();
            settle(child);
            assertThat(backend.requests).hasValue(1);

            child.config().setAutoRead(true);
            second.join();
            disk.flush().join();
            settle(child); // the read() that ends the turn may still see auto-read on, and then allow one more turn

            child.config().setAutoRead(false);
            CompletableFuture<Void> last = disk.flush();
            settle(child);
            assertThat(last).isNotDone();
            child.read();
            last.join();
        }
    }

    private static void settle(LoopbackTapChannel channel) {
        for (int i = 0; i < 3; i++) {
            channel.eventLoop().schedule(() -> {}, 20, TimeUnit.MILLISECONDS).syncUninterruptibly();
        }
    }

    @Test
    void stopsReadingInTheMiddleOfATurn() {
        tap.onDisk = disk -> disk.onRequest = () -> tap.channels.get(0).config().setAutoRead(false);
        tap.bind();
        try (LoopbackFrontend disk = tap.connect()) {
            LoopbackTapChannel child = tap.awaitChannel(1);
            RamDisk backend = tap.disks.get(0);
            CompletableFuture<Void> write =
                    disk.write(0, Unpooled.buffer(5 * 45056).writeZero(5 * 45056));
            await().untilAsserted(() -> assertThat(backend.requests).hasValue(1));
            settle(child);
            assertThat(backend.requests).hasValue(1);
            assertThat(write).isNotDone();

            backend.onRequest = () -> {};
            child.config().setAutoRead(true);

            write.join();
            assertThat(backend.requests).hasValue(5);
        }
    }

    @Test
    void holdsAndReleasesIntake() {
        tap.bind();
        try (LoopbackFrontend disk = tap.connect()) {
            LoopbackTapChannel child = tap.awaitChannel(1);
            RamDisk backend = tap.disks.get(0);
            child.eventLoop().submit(child::holdIntake).syncUninterruptibly();
            CompletableFuture<Void> flush = disk.flush();
            settle(child);
            assertThat(backend.requests).hasValue(0);

            child.eventLoop().submit(child::releaseIntake).syncUninterruptibly();
            flush.join();

            child.eventLoop().submit(child::stopIntake).syncUninterruptibly();
            CompletableFuture<Void> never = disk.flush();
            child.eventLoop().submit(child::releaseIntake).syncUninterruptibly();
            settle(child);
            assertThat(backend.requests).hasValue(1);
            disk.close();
            assertThatThrownBy(never::join).hasRootCauseInstanceOf(IOException.class);
        }
    }

    // ---- the end of a session

    @Test
    void closesWhenFrontendCloses() {
        tap.bind();
        LoopbackFrontend disk = tap.connect();
        LoopbackTapChannel child = tap.awaitChannel(1);

        disk.close();

        assertThat(child.closeFuture().awaitUninterruptibly(10, TimeUnit.SECONDS))
                .isTrue();
        assertThat(child.isActive()).isFalse();
    }

    @Test
    void closesFrontendWhenItCloses() {
        tap.bind();
        LoopbackFrontend disk = tap.connect();
        LoopbackTapChannel child = tap.awaitChannel(1);
        tap.disks.get(0).holdAnswers = true;
        CompletableFuture<Void> inFlight = disk.flush();
        await().until(() -> tap.disks.get(0).requests.get() == 1);

        child.close().syncUninterruptibly();

        assertThat(disk.channel().closeFuture().awaitUninterruptibly(10, TimeUnit.SECONDS))
                .isTrue();
        assertThatThrownBy(inFlight::join)
                .isInstanceOf(CompletionException.class)
                .hasMessageContaining("the ring was closed with the request in flight");
        assertThatThrownBy(() -> disk.flush().join()).hasMessageContaining("the ring was closed");
    }

    @Test
    void takesAnswersAfterTheRingIsGone() {
        tap.onDisk = disk -> disk.holdAnswers = true;
        tap.bind();
        LoopbackFrontend disk = tap.connect();
        LoopbackTapChannel child = tap.awaitChannel(1);
        RamDisk backend = tap.disks.get(0);
        CompletableFuture<Void> inFlight = disk.write(0, random(4096, 1));
        await().until(() -> backend.requests.get() == 1);
        disk.close();
        assertThat(child.closeFuture().awaitUninterruptibly(10, TimeUnit.SECONDS))
                .isTrue();
        assertThat(inFlight).isCompletedExceptionally();

        // The ring and the pages are unmapped by now; touching them would end the whole process.
        child.eventLoop()
                .submit(() -> {
                    backend.answerHeld();
                    child.publish();
                    GuestMemory memory = child.memory();
                    assertThat(RamDisk.copy(memory.copiesToGuest(), 1, 0, 4096, tap.content, 0))
                            .isFalse();
                    assertThat(RamDisk.copy(memory.copiesFromGuest(), 1, 0, 4096, tap.content, 0))
                            .isFalse();
                    child.refuse("too late");
                    child.welcome(tap.geometry);
                    child.tellGeometry(tap.geometry);
                })
                .syncUninterruptibly();
    }

    @Test
    void survivesHandlerThatClosesInTheMiddleOfATurn() {
        tap.onDisk = disk -> disk.onRequest = () -> tap.channels.get(0).close();
        tap.bind();
        LoopbackFrontend disk = tap.connect();

        CompletableFuture<Void> write =
                disk.write(0, Unpooled.buffer(10 * 45056).writeZero(10 * 45056));

        assertThatThrownBy(write::join).hasMessageContaining("the ring was closed");
        assertThat(tap.disks.get(0).requests).hasValue(1);
        assertThat(tap.disks.get(0).errors).isEmpty();
    }

    @Test
    void violationOfTheProtocolClosesThatChannelOnly() throws IOException {
        tap.bind();
        try (LoopbackFrontend good = tap.connect();
                RawFrontend bad = new RawFrontend(tap.address)) {
            tap.awaitChannel(1);
            ByteBuffer ring = bad.connect();
            LoopbackTapChannel child = tap.awaitChannel(2);

            ring.putInt(BlkifLayout.REQ_PROD, 1000);
            bad.kick();

            assertThat(child.closeFuture().awaitUninterruptibly(10, TimeUnit.SECONDS))
                    .isTrue();
            assertThat(tap.disks.get(1).errors)
                    .singleElement()
                    .isInstanceOf(RingProtocolException.class)
                    .hasToString("io.blocktap.transport.ring.RingProtocolException: req_prod 1000 is 1000 past "
                            + "rsp_prod 0; the ring has 32 slots");
            assertThat(bad.awaitPacket().data().limit()).isZero();
            good.write(0, random(4096, 5)).join();
            assertThat(tap.channels.get(0).isActive()).isTrue();
            tap.connect().close();
        }
    }

    @Test
    void doesNotSpinWithAFrontendThatMovesItsIndexToAndFro() throws Exception {
        tap.bind();
        try (RawFrontend bad = new RawFrontend(tap.address)) {
            ByteBuffer ring = bad.connect();
            LoopbackTapChannel child = tap.awaitChannel(1);
            long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(500);
            Thread liar = new Thread(() -> {
                while (System.nanoTime() < end) {
                    ring.putInt(BlkifLayout.REQ_PROD, 1);
                    ring.putInt(BlkifLayout.REQ_PROD, 0);
                    bad.kick();
                }
            });
            liar.start();
            while (System.nanoTime() < end) {
                assertThat(child.eventLoop().submit(() -> {}).awaitUninterruptibly(5, TimeUnit.SECONDS))
                        .isTrue();
            }
            liar.join();
        }
    }

    @Test
    void closesFrontendThatTalksAfterItsHello() throws IOException {
        tap.bind();
        try (LogCapture log = new LogCapture();
                RawFrontend chatty = new RawFrontend(tap.address);
                Fd event = Libc.eventFd()) {
            chatty.connect();
            Map<String, Integer> fds = OpenFds.count();
            chatty.socket.send(RawFrontend.goodHello(), event, event);

            assertThat(tap.awaitChannel(1).closeFuture().awaitUninterruptibly(10, TimeUnit.SECONDS))
                    .isTrue();
            assertThat(log.lines()).singleElement().asString().contains("sent a message after HELLO");
            await().untilAsserted(() -> assertThat(OpenFds.count().get("anon_inode:[eventfd]"))
                    .isEqualTo(fds.get("anon_inode:[eventfd]") - 2));
        }
    }

    @Test
    void closesEverythingWhenLoopsEnd() {
        tap.bind();
        Map<String, Integer> before = OpenFds.count();
        try (LogCapture log = new LogCapture()) {
            LoopbackFrontend disk = tap.connect();
            LoopbackTapChannel child = tap.awaitChannel(1);
            tap.disks.get(0).holdAnswers = true;
            CompletableFuture<Void> inFlight = disk.flush();

            LoopKind.end(tap.group);

            assertThat(child.closeFuture().isDone()).isTrue();
            assertThat(disk.channel().closeFuture().isDone()).isTrue();
            assertThat(tap.server().closeFuture().isDone()).isTrue();
            assertThat(inFlight).isCompletedExceptionally();
            assertThat(folder.resolve("tap")).doesNotExist();
            assertThatThrownBy(() -> disk.flush().join()).hasMessageContaining("the ring was closed");
            disk.close();
            assertThat(log.lines()).isEmpty();
        }
        assertThat(OpenFds.count().getOrDefault("socket", 0)).isLessThan(before.get("socket"));
        assertThat(OpenFds.count()).doesNotContainKey("/memfd:blocktap-ring");
    }

    @Test
    void leavesNothingBehindAfterManySessions() {
        tap.bind();
        tap.connect().close();
        await().until(() -> tap.channels.get(0).closeFuture().isDone());
        Map<String, Integer> fds = OpenFds.count();
        int regions = MappedRegion.liveRegions();
        for (int i = 0; i < 1000; i++) {
            LoopbackFrontend disk = tap.connect(new LoopbackFrontend.Options(BlkifLayout.X86_64, 1, 4, 4096));
            if (i % 10 == 0) {
                disk.write(0, random(16384, i)).join();
            }
            if (i % 3 == 0) {
                tap.awaitChannel(i + 2).close();
            } else if (i % 7 == 0) {
                disk.write(0, random(65536, i)); // still in flight
            }
            disk.close();
        }

        await().untilAsserted(() -> {
            assertThat(OpenFds.count()).isEqualTo(fds);
            assertThat(MappedRegion.liveRegions()).isEqualTo(regions);
        });
        assertThat(tap.channels).allMatch(channel -> channel.closeFuture().isDone());
    }
}

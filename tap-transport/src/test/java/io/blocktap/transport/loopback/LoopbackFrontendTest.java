package io.blocktap.transport.loopback;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.blocktap.transport.LoopKind;
import io.blocktap.transport.OpenFds;
import io.blocktap.transport.frontend.FrontChannel;
import io.blocktap.transport.frontend.FrontGeometry;
import io.blocktap.transport.frontend.FrontRequest;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.SeqPacketSocket;
import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.ConnectTimeoutException;
import io.netty.channel.EventLoopGroup;
import java.io.IOException;
import java.net.ConnectException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The client that others build on: every request ends, whatever happens to the ring. */
@ParameterizedClass
@EnumSource
@Timeout(120)
class LoopbackFrontendTest {
    private final LoopKind kind;

    @TempDir
    private Path folder;

    private TestTap tap;

    LoopbackFrontendTest(LoopKind kind) {
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

    // ---- transfers

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 5, 11, 12, 64, 256, 512, 4096})
    void splitsTransfersAsTheDiskAllows(int maxIndirectSegments) {
        tap.geometry = new FrontGeometry(TestTap.SIZE_BYTES / 512, 512, 4096, 0, maxIndirectSegments, 0);
        tap.bind();
        try (LoopbackFrontend disk = tap.connect(new LoopbackFrontend.Options(BlkifLayout.X86_64, 1, 2, 1 << 20))) {
            ByteBuf data = random((2 << 20) + 512, maxIndirectSegments);
            disk.write(512, data).join();
            ByteBuf back = Unpooled.buffer((2 << 20) + 512, (2 << 20) + 512);
            disk.read(512, back).join();

            assertThat(back).isEqualTo(data);
            assertThat(disk.geometry()).isEqualTo(tap.geometry);
            int segments = Math.max(11, Math.min(256, maxIndirectSegments));
            int pieces = (data.readableBytes() + segments * 4096 - 1) / (segments * 4096);
            assertThat(tap.disks.get(0).requests).hasValue(2 * pieces);
        }
    }

    @Test
    void tellsErrorsOfTheDisk() {
        tap.bind();
        try (LoopbackFrontend disk = tap.connect()) {
            assertThatThrownBy(
                            () -> disk.write(TestTap.SIZE_BYTES, random(512, 1)).join())
                    .hasRootCauseInstanceOf(IOException.class)
                    .hasMessageContaining("I/O error: operation 1, sector 8192, 1 sectors, status -1");
            assertThatThrownBy(() -> disk.write(100, random(512, 1))).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> disk.write(0, random(100, 1))).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> disk.discard(-512, 512)).isInstanceOf(IllegalArgumentException.class);
            disk.flush().join();
        }
    }

    @Test
    void failsTheTransferOfABufferThatWasReleased() {
        tap.onDisk = disk -> disk.holdAnswers = true;
        tap.bind();
        try (LoopbackFrontend disk = tap.connect(new LoopbackFrontend.Options(BlkifLayout.X86_64, 1, 1, 4096))) {
            LoopbackTapChannel child = tap.awaitChannel(1);
            ByteBuf early = Unpooled.buffer(4096).writeZero(4096);
            ByteBuf target = Unpooled.buffer(4096, 4096);
            CompletableFuture<Void> read = disk.read(0, target);
            CompletableFuture<Void> write = disk.write(0, early); // waits for the read
            CompletableFuture<Void> flush = disk.flush();
            await().until(() -> tap.disks.get(0).requests.get() == 1);
            early.release();
            target.release();

            tap.disks.get(0).holdAnswers = false;
            child.eventLoop().execute(tap.disks.get(0)::answerHeld);

            assertThatThrownBy(read::join).hasRootCauseInstanceOf(RuntimeException.class);
            assertThatThrownBy(write::join).hasRootCauseInstanceOf(RuntimeException.class);
            flush.join();
        }
    }

    @Test
    void closesInTheMiddleOfResponses() {
        tap.bind();
        for (int round = 0; round < 20; round++) {
            LoopbackFrontend disk = tap.connect();
            AtomicInteger ended = new AtomicInteger();
            CompletableFuture<?>[] all = new CompletableFuture<?>[100];
            for (int i = 0; i < all.length; i++) {
                all[i] = disk.write(i * 4096L, random(4096, i)).whenComplete((done, failure) -> {
                    if (ended.incrementAndGet() == 10) {
                        disk.close(); // on the loop, while further responses lie in the ring
                    }
                });
            }

            await().untilAsserted(() -> assertThat(all).allMatch(CompletableFuture::isDone));
            assertThat(disk.channel().isOpen()).isFalse();
        }
    }

    @Test
    void failsAnyNumberOfWaitingRequestsWhenTheRingGoes() {
        tap.onDisk = disk -> disk.holdAnswers = true;
        tap.bind();
        LoopbackFrontend disk = tap.connect(new LoopbackFrontend.Options(BlkifLayout.X86_64, 1, 4, 4096));
        CompletableFuture<?>[] all = new CompletableFuture<?>[30_000];
        for (int i = 0; i < all.length; i++) {
            all[i] = disk.flush();
        }
        await().until(() -> tap.disks.get(0).requests.get() == 4);

        tap.awaitChannel(1).close();

        await().until(() -> CompletableFuture.allOf(all).isDone());
        assertThat(all).allMatch(CompletableFuture::isCompletedExceptionally);
        assertThatThrownBy(() -> disk.flush().join()).hasMessageContaining("the ring was closed");
    }

    @Test
    void goesOnWhenAListenerThrows() throws Exception {
        tap.bind();
        try (LoopbackFrontend disk = tap.connect()) {
            FrontChannel channel = disk.channel();
            CompletableFuture<Throwable> caught = new CompletableFuture<>();
            channel.pipeline().addLast(new ChannelInboundHandlerAdapter() {
                @Override
                public void exceptionCaught(io.netty.channel.ChannelHandlerContext ctx, Throwable cause) {
                    caught.complete(cause);
                }
            });
            channel.eventLoop().execute(() -> {
                FrontRequest request = channel.newRequest(0).describe(3, 0, 0);
                channel.issue(request, (ended, status) -> {
                    throw new IllegalStateException("listener's own");
                });
                channel.publish();
            });

            assertThat(caught.get(10, TimeUnit.SECONDS)).hasMessage("listener's own");
            disk.flush().join();
        }
    }

    @Test
    void tellsNewGeometry() throws Exception {
        tap.bind();
        try (LoopbackFrontend disk = tap.connect()) {
            CompletableFuture<FrontGeometry> changed = new CompletableFuture<>();
            disk.channel()
                    .eventLoop()
                    .submit(() -> disk.channel().onGeometryChange(() -> changed.complete(disk.geometry())))
                    .syncUninterruptibly();
            FrontGeometry larger = new FrontGeometry(1L << 40, 4096, 8192, FrontGeometry.READ_ONLY, 3, 65536);
            LoopbackTapChannel child = tap.awaitChannel(1);

            child.eventLoop().execute(() -> child.tellGeometry(larger));

            assertThat(changed.get(10, TimeUnit.SECONDS)).isEqualTo(larger);
            disk.write(0, random(1 << 20, 1)).join();
        }
    }

    @Test
    void refusesImpossibleOptions() {
        assertThatThrownBy(() -> new LoopbackFrontend.Options(BlkifLayout.X86_64, 1, 0, 4096))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new LoopbackFrontend.Options(BlkifLayout.X86_64, 1, 1, 512))
                .isInstanceOf(IllegalArgumentException.class);
        tap.bind();
        assertThatThrownBy(() -> tap.connect(new LoopbackFrontend.Options(BlkifLayout.X86_64, 1, 20_000, 4096)))
                .hasMessageContaining("40000 data pages; 1 to 16384");
    }

    // ---- connecting

    @Test
    void tellsThatNobodyIsThere() {
        assertThatThrownBy(tap::connect)
                .hasCauseInstanceOf(ConnectException.class)
                .hasMessageContaining(
                        "no loopback tap at " + tap.address + ": connect(" + tap.address.path() + "): ENOENT");
    }

    @Test
    void givesUpWhenTheTapIsSilent() throws IOException {
        Map<String, Integer> fds = OpenFds.count();
        try (SeqPacketSocket silent = SeqPacketSocket.listenOn(tap.address.path())) {
            ChannelFuture connecting = new Bootstrap()
                    .group(tap.group)
                    .channel(LoopbackFrontendChannel.class)
                    .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, 100)
                    .handler(new ChannelInboundHandlerAdapter())
                    .connect(tap.address)
                    .awaitUninterruptibly();

            assertThat(connecting.cause())
                    .isInstanceOf(ConnectTimeoutException.class)
                    .hasMessage("no answer from the loopback tap at " + tap.address + " within 100 ms");
            assertThat(silent.fd().isOpen()).isTrue();
        }
        await().untilAsserted(() -> assertThat(OpenFds.count()).isEqualTo(fds));
    }

    @Test
    void givesUpWhenItsLoopEnds() throws IOException {
        EventLoopGroup other = kind.newGroup(1);
        try (SeqPacketSocket silent = SeqPacketSocket.listenOn(tap.address.path())) {
            CompletableFuture<LoopbackFrontend> connecting = LoopbackFrontend.connect(other, tap.address);
            await().until(() -> {
                try (SeqPacketSocket accepted = silent.accept()) {
                    return accepted != null;
                }
            });

            LoopKind.end(other);

            assertThat(connecting).isCompletedExceptionally();
        }
    }

    @Test
    void refusesWrongWelcomes() throws Exception {
        try (SeqPacketSocket fake = SeqPacketSocket.listenOn(tap.address.path());
                Fd event = io.blocktap.transport.sys.Libc.eventFd()) {
            Map<String, Integer> fds = OpenFds.count();
            FrontGeometry geometry = tap.geometry;
            answer(fake, Handshake.geometry(Handshake.WELCOME, geometry, 384), "0 descriptors; it has 3");
            answer(fake, Handshake.geometry(Handshake.WELCOME, geometry, 384), "2 descriptors", event, event);
            answer(fake, Handshake.geometry(Handshake.WELCOME, geometry, 7), "7 data pages", event, event, event);
            answer(fake, Handshake.geometry(Handshake.WELCOME, geometry, 384), "ENODEV", event, event, event);
            answer(fake, Handshake.refused("for a reason"), "refused: for a reason");
            answer(fake, Handshake.refused("x").putShort(16, (short) 9), "a refusal of 19 bytes");
            answer(fake, Handshake.refused("x").putShort(10, (short) 9), "unknown message type 9", event);
            await().untilAsserted(() -> assertThat(OpenFds.count()).isEqualTo(fds));
        }
    }

    private void answer(SeqPacketSocket fake, java.nio.ByteBuffer reply, String failure, Fd... fds) throws IOException {
        CompletableFuture<LoopbackFrontend> connecting = LoopbackFrontend.connect(tap.group, tap.address);
        try (SeqPacketSocket accepted = await().until(fake::accept, socket -> socket != null)) {
            accepted.send(reply, fds);
            assertThatThrownBy(connecting::join).hasMessageContaining(failure);
        }
    }
}

package io.blocktap.transport.loopback;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.blocktap.transport.LogCapture;
import io.blocktap.transport.LoopKind;
import io.blocktap.transport.OpenFds;
import io.blocktap.transport.TapChannelOption;
import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.SeqPacketSocket;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Who is let in, who is not, and what happens to the socket's file. */
@ParameterizedClass
@EnumSource
@Timeout(120)
class LoopbackServerChannelTest {
    private final LoopKind kind;

    @TempDir
    private Path folder;

    private Path file;
    private TestTap tap;
    private LogCapture log;

    LoopbackServerChannelTest(LoopKind kind) {
        this.kind = kind;
    }

    @BeforeEach
    void start() {
        log = new LogCapture();
        file = folder.resolve("tap");
        tap = new TestTap(kind, file);
    }

    @AfterEach
    void stop() {
        tap.close();
        log.close();
    }

    private void serverLives() {
        try (LoopbackFrontend disk = tap.connect()) {
            disk.flush().join();
        }
    }

    // ---- the socket's file

    @Test
    void makesPrivateSocketAndRemovesIt() throws IOException {
        tap.bind();
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
                .isEqualTo("rw-------");

        tap.server().close().syncUninterruptibly();

        assertThat(file).doesNotExist();
    }

    @Test
    void replacesSocketOfDeadServer() throws IOException {
        SeqPacketSocket.listenOn(file.toString()).close();
        assertThat(file).exists();

        tap.bind();

        serverLives();
    }

    @Test
    void refusesSocketOfLivingServer() {
        tap.bind();
        try (TestTap second = new TestTap(kind, file)) {
            assertThatThrownBy(second::bind)
                    .isInstanceOf(TapException.class)
                    .hasMessage(file + ": another server listens there; stop it or choose another path");
        }
        serverLives();
        assertThat(file).exists();
    }

    @Test
    void refusesSocketOfServerOfAnotherKind() throws IOException {
        try (ServerSocketChannel other = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            other.bind(UnixDomainSocketAddress.of(file));

            assertThatThrownBy(tap::bind)
                    .isInstanceOf(TapException.class)
                    .hasMessageContaining("another server may listen there");
        }
        assertThat(file).exists();
    }

    @Test
    void refusesRegularFileAndKeepsIt() throws IOException {
        Files.writeString(file, "somebody's disk image");

        assertThatThrownBy(tap::bind)
                .isInstanceOf(TapException.class)
                .hasMessage(file + " exists and is no socket; remove it or choose another path");

        assertThat(file).hasContent("somebody's disk image");
    }

    @Test
    void refusesFolderAndLink() throws IOException {
        Files.createDirectory(file);
        assertThatThrownBy(tap::bind).isInstanceOf(TapException.class).hasMessageContaining("is no socket");
        Files.delete(file);
        Path image = Files.writeString(folder.resolve("image"), "data");
        Files.createSymbolicLink(file, image);
        assertThatThrownBy(tap::bind).isInstanceOf(TapException.class).hasMessageContaining("is no socket");

        assertThat(image).hasContent("data");
        assertThat(file).isSymbolicLink();
    }

    @Test
    void keepsFileOfServerThatTookItsPlace() throws IOException {
        tap.bind();
        Files.delete(file);
        try (TestTap second = new TestTap(kind, file).bind()) {
            tap.server().close().syncUninterruptibly();

            assertThat(file).exists();
            second.connect().close();
        }
        assertThat(file).doesNotExist();
    }

    @Test
    void refusesOtherAddresses() {
        assertThatThrownBy(() -> tap.bootstrap()
                        .bind(new DomainSocketAddress(file.toFile()))
                        .syncUninterruptibly())
                .isInstanceOf(TapException.class)
                .hasMessageContaining("binds to a LoopbackAddress");
        assertThatThrownBy(() -> tap.bootstrap()
                        .bind(new LoopbackAddress("x".repeat(200)))
                        .syncUninterruptibly())
                .hasMessageContaining("200 bytes of 107");
        assertThatThrownBy(() -> tap.bootstrap()
                        .bind(new LoopbackAddress(folder + "/none/tap"))
                        .syncUninterruptibly())
                .hasMessageContaining("ENOENT");
    }

    // ---- limits

    @Test
    void refusesMoreSessionsThanAllowed() {
        tap.bind(tap.bootstrap().option(TapChannelOption.MAX_SESSIONS, 2));
        LoopbackFrontend first = tap.connect();
        LoopbackFrontend second = tap.connect();

        for (int i = 0; i < 20; i++) {
            assertThatThrownBy(tap::connect)
                    .isInstanceOf(CompletionException.class)
                    .hasMessageContaining("too many frontends: 2 of 2");
        }

        first.close();
        await().ignoreExceptions().until(() -> {
            tap.connect().close();
            return true;
        });
        second.close();
    }

    @Test
    void refusesSilentFrontendAfterTimeout() throws IOException {
        tap.bind(tap.bootstrap().option(TapChannelOption.HANDSHAKE_TIMEOUT_MILLIS, 300));
        try (RawFrontend silent = new RawFrontend(tap.address)) {
            serverLives(); // it keeps nobody waiting

            assertThat(silent.awaitRefusal()).isEqualTo("no HELLO within 300 ms");
        }
        serverLives();
    }

    @Test
    void refusesMoreHandshakesThanItCanWatch() throws IOException {
        tap.bind();
        List<RawFrontend> silent = new ArrayList<>();
        for (int i = 0; i < 64; i++) {
            silent.add(new RawFrontend(tap.address));
        }
        try (RawFrontend tooMany = new RawFrontend(tap.address)) {
            assertThat(tooMany.awaitRefusal()).startsWith("too many hand-shakes at a time: 64");
        }
        assertThatThrownBy(tap::connect).hasMessageContaining("too many hand-shakes");

        silent.forEach(RawFrontend::close);
        await().ignoreExceptions().until(() -> {
            tap.connect().close();
            return true;
        });
    }

    // ---- wrong HELLOs

    private void assertRefused(ByteBuffer hello, String reason) throws IOException {
        try (RawFrontend wrong = new RawFrontend(tap.address)) {
            wrong.socket.send(hello);
            assertThat(wrong.awaitRefusal()).isEqualTo("bad hand-shake: " + reason);
        }
    }

    @Test
    void refusesWrongHellos() throws IOException {
        tap.bind();
        Map<String, Integer> fds = OpenFds.count();

        assertRefused(ByteBuffer.wrap(new byte[1]), "a message of 1 bytes; the header alone has 16");
        assertRefused(RawFrontend.goodHello().limit(25), "the first message is no HELLO");
        assertRefused(
                RawFrontend.goodHello().put(3, (byte) 'x'), "wrong magic; is the peer a loopback frontend or tap?");
        assertRefused(RawFrontend.goodHello().putShort(8, (short) 2), "version 2; this side speaks 1");
        assertRefused(RawFrontend.goodHello().putShort(10, (short) 4), "the first message is no HELLO");
        assertRefused(RawFrontend.goodHello().put(16, (byte) 2), "ABI 2, ring page order 0; known are 0 and 1, 0 to 4");
        assertRefused(RawFrontend.goodHello().put(17, (byte) 5), "ABI 0, ring page order 5; known are 0 and 1, 0 to 4");
        assertRefused(
                RawFrontend.goodHello().put(17, (byte) -1), "ABI 0, ring page order -1; known are 0 and 1, 0 to 4");
        assertRefused(RawFrontend.goodHello().putInt(20, 0), "0 data pages; 1 to 16384");
        assertRefused(RawFrontend.goodHello().putInt(20, 16385), "16385 data pages; 1 to 16384");
        assertRefused(RawFrontend.goodHello().putInt(20, -1), "4294967295 data pages; 1 to 16384");
        assertRefused(RawFrontend.goodHello().putShort(24, (short) 1), "a HELLO of 26 bytes with a name of 1");
        assertRefused(RawFrontend.goodHello().putShort(24, (short) -1), "a HELLO of 26 bytes with a name of 65535");
        ByteBuffer named = ByteBuffer.allocate(26 + 256)
                .order(java.nio.ByteOrder.LITTLE_ENDIAN)
                .put(RawFrontend.goodHello())
                .clear()
                .putShort(24, (short) 256);
        assertRefused(named, "a HELLO of 282 bytes with a name of 256");

        serverLives();
        await().untilAsserted(() -> assertThat(OpenFds.count()).isEqualTo(fds));
        assertThat(log.lines()).hasSize(14).allMatch(line -> line.contains("refused a frontend: bad hand-shake"));
    }

    @Test
    void refusesGarbage() throws IOException {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        tap.bind();
        Map<String, Integer> fds = OpenFds.count();
        for (int i = 0; i < 100; i++) {
            byte[] bytes = new byte[1 + random.nextInt(SeqPacketSocket.MAX_PACKET_BYTES)];
            random.nextBytes(bytes);
            if (i % 2 == 0) {
                RawFrontend.goodHello().get(0, bytes, 0, Math.min(bytes.length, 10));
            }
            try (RawFrontend wrong = new RawFrontend(tap.address)) {
                wrong.socket.send(ByteBuffer.wrap(bytes));
                assertThat(wrong.awaitRefusal()).as("seed %d", seed).startsWith("bad hand-shake: ");
            }
        }
        serverLives();
        await().untilAsserted(() -> assertThat(OpenFds.count()).isEqualTo(fds));
    }

    @Test
    void closesDescriptorsThatComeWithHello() throws IOException {
        tap.bind();
        Map<String, Integer> fds = OpenFds.count();
        try (Fd event = Libc.eventFd();
                RawFrontend generous = new RawFrontend(tap.address);
                RawFrontend wrong = new RawFrontend(tap.address)) {
            generous.socket.send(RawFrontend.goodHello(), event, event, event, event, event, event, event, event);
            SeqPacketSocket.Packet welcome = generous.awaitPacket();
            assertThat(Handshake.type(welcome.data())).isEqualTo(Handshake.WELCOME);
            welcome.fds().forEach(Fd::close);

            wrong.socket.send(ByteBuffer.wrap(new byte[20]), event, event);
            assertThat(wrong.awaitRefusal()).contains("wrong magic");
        }
        await().untilAsserted(() -> assertThat(OpenFds.count()).isEqualTo(fds));
        serverLives();
    }

    @Test
    void survivesFrontendsThatGoAway() throws IOException {
        tap.bind();
        Map<String, Integer> fds = OpenFds.count();
        for (int i = 0; i < 100; i++) {
            try (RawFrontend fickle = new RawFrontend(tap.address)) {
                if (i % 2 == 0) {
                    fickle.socket.send(RawFrontend.goodHello());
                }
            }
        }
        serverLives();
        await().untilAsserted(() -> assertThat(OpenFds.count()).isEqualTo(fds));
        assertThat(log.lines()).isEmpty();
    }

    @Test
    void tellsWhyADiskIsRefused() {
        tap.bind();

        assertThatThrownBy(() -> LoopbackFrontend.connect(tap.group, new LoopbackAddress(file.toString(), "no such"))
                        .join())
                .hasRootCauseInstanceOf(TapException.class)
                .hasMessageContaining("refused: there is no disk 'no such'");
        serverLives();
    }

    // ---- its end

    @Test
    void closesHandshakesWithIt() throws IOException {
        tap.bind(tap.bootstrap().option(TapChannelOption.HANDSHAKE_TIMEOUT_MILLIS, 200));
        try (RawFrontend silent = new RawFrontend(tap.address)) {
            serverLives(); // accepted after the silent one

            tap.server().close().syncUninterruptibly();

            assertThat(silent.awaitPacket().data().limit()).isZero();
        }
        // The numbers of the closed descriptors are given out anew; nothing of the old server may get in their way.
        tap.bind();
        for (int i = 0; i < 10; i++) {
            serverLives();
        }
        tap.group.next().schedule(() -> {}, 300, TimeUnit.MILLISECONDS).syncUninterruptibly();
        serverLives();
        assertThat(log.lines()).isEmpty();
    }

    @Test
    void leavesItsSessionsWhenItCloses() {
        tap.bind();
        try (LoopbackFrontend disk = tap.connect()) {
            tap.server().close().syncUninterruptibly();

            disk.flush().join();

            assertThatThrownBy(tap::connect).hasMessageContaining("no loopback tap at loopback:" + file);
        }
    }
}

package io.blocktap.transport.sys;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.transport.memory.MappedRegion;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Packets and descriptors arrive as they were sent. */
class SeqPacketSocketTest {
    @TempDir
    private Path folder;

    private SeqPacketSocket listening;
    private SeqPacketSocket client;
    private SeqPacketSocket server;

    @BeforeEach
    void connect() throws NativeException {
        String path = folder.resolve("s").toString();
        listening = SeqPacketSocket.listenOn(path);
        client = SeqPacketSocket.connectTo(path);
        server = listening.accept();
    }

    @AfterEach
    void close() {
        listening.close();
        client.close();
        server.close();
    }

    private static ByteBuffer bytes(String text) {
        return ByteBuffer.wrap(text.getBytes(StandardCharsets.US_ASCII));
    }

    private static String text(SeqPacketSocket.Packet packet) {
        return StandardCharsets.US_ASCII.decode(packet.data().duplicate()).toString();
    }

    @Test
    void acceptsNullWhenNobodyWaits() throws NativeException {
        assertThat(listening.accept()).isNull();
    }

    @Test
    void receivesNullWhenNothingHasArrived() throws NativeException {
        assertThat(server.receive()).isNull();
    }

    @Test
    void keepsBoundariesOfPackets() throws NativeException {
        client.send(bytes("first"));
        client.send(bytes("second one"));
        ByteBuffer part = bytes("..third..").position(2).limit(7);
        client.send(part);

        assertThat(text(server.receive())).isEqualTo("first");
        assertThat(text(server.receive())).isEqualTo("second one");
        assertThat(text(server.receive())).isEqualTo("third");
        assertThat(server.receive()).isNull();
    }

    @Test
    void passesDescriptorsThatWork() throws IOException {
        try (Fd memory = Libc.memoryFile("passed", 4096);
                Fd event = Libc.eventFd()) {
            client.send(bytes("two"), memory, event);
            SeqPacketSocket.Packet packet = server.receive();

            assertThat(packet.fds())
                    .hasSize(2)
                    .allSatisfy(fd -> assertThat(LibcTest.closesOnExec(fd)).isTrue());
            assertThat(memory.isOpen()).isTrue();
            MappedRegion sent = MappedRegion.shared(memory, 4096);
            MappedRegion received = MappedRegion.shared(packet.fds().get(0), 4096);
            sent.view().putLong(0, 7);
            assertThat(received.view().getLong(0)).isEqualTo(7);
            assertThat(Libc.writeBytes(packet.fds().get(1), received.address(), 8))
                    .isEqualTo(8);
            assertThat(Libc.readBytes(event, sent.address() + 8, 8)).isEqualTo(8);
            assertThat(sent.view().getLong(8)).isEqualTo(7);

            sent.release();
            received.release();
            packet.fds().forEach(Fd::close);
        }
    }

    @Test
    void passesEightDescriptorsAndNoMore() throws IOException {
        try (Fd event = Libc.eventFd()) {
            Fd[] eight = {event, event, event, event, event, event, event, event};
            client.send(bytes("x"), eight);
            SeqPacketSocket.Packet packet = server.receive();

            assertThat(packet.fds()).hasSize(8);
            packet.fds().forEach(Fd::close);
            Fd[] nine = java.util.Arrays.copyOf(eight, 9);
            nine[8] = event;
            assertThatThrownBy(() -> client.send(bytes("x"), nine)).isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void refusesToSendTooLongPacket() {
        assertThatThrownBy(() -> client.send(ByteBuffer.allocate(SeqPacketSocket.MAX_PACKET_BYTES + 1)))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void receivesEmptyPacketAfterPeerHasClosed() throws NativeException {
        client.send(bytes("last"));
        client.close();

        assertThat(text(server.receive())).isEqualTo("last");
        assertThat(server.receive().data().limit()).isZero();
    }

    @Test
    void failsToSendToClosedPeer() {
        client.close();

        assertThatThrownBy(() -> server.send(bytes("x")))
                .isInstanceOfSatisfying(
                        NativeException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EPIPE));
    }

    @Test
    void failsToSendWhenPeerDoesNotRead() {
        assertThatThrownBy(() -> {
                    for (int i = 0; i < 100_000; i++) {
                        client.send(bytes("fills the socket"));
                    }
                })
                .isInstanceOfSatisfying(
                        NativeException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EAGAIN));
    }

    @Test
    void tellsUserOfPeer() throws IOException {
        int own = (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:uid");

        assertThat(server.peerUid()).isEqualTo(own);
        assertThat(client.peerUid()).isEqualTo(own);
    }

    @Test
    void closesOnExec() throws IOException {
        assertThat(LibcTest.closesOnExec(listening.fd())).isTrue();
        assertThat(LibcTest.closesOnExec(client.fd())).isTrue();
        assertThat(LibcTest.closesOnExec(server.fd())).isTrue();
    }

    @Test
    void refusesPathThatIsTooLong() throws IOException {
        String longest = folder + "/" + "x".repeat(107 - folder.toString().length() - 1);
        SeqPacketSocket.listenOn(longest).close();
        assertThat(Path.of(longest)).exists();

        assertThatThrownBy(() -> SeqPacketSocket.listenOn(longest + "x"))
                .isInstanceOf(NativeException.class)
                .hasMessageContaining("108 bytes of 107");
        assertThatThrownBy(() -> SeqPacketSocket.connectTo("")).isInstanceOf(NativeException.class);
    }

    @Test
    void failsToBindTwice() {
        assertThatThrownBy(() -> SeqPacketSocket.listenOn(folder.resolve("s").toString()))
                .isInstanceOfSatisfying(
                        NativeException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EADDRINUSE));
    }

    @Test
    void tellsThatNobodyListens() {
        listening.close();

        assertThatThrownBy(() -> SeqPacketSocket.connectTo(folder.resolve("s").toString()))
                .isInstanceOfSatisfying(
                        NativeException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ECONNREFUSED));
        assertThatThrownBy(
                        () -> SeqPacketSocket.connectTo(folder.resolve("none").toString()))
                .isInstanceOfSatisfying(
                        NativeException.class, e -> assertThat(e.errno()).isEqualTo(Errno.ENOENT));
    }
}

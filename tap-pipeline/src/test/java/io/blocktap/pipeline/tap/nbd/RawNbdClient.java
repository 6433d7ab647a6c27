package io.blocktap.pipeline.tap.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.blocktap.pipeline.codec.nbd.Nbd;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A blocking client that sends what a test says. One thread. */
final class RawNbdClient implements AutoCloseable {
    private final SocketChannel socket;

    /**
     * One reply to an option.
     *
     * @param option the option, echoed
     * @param type ACK and so on
     */
    record OptionReply(int option, int type, byte[] data) {
        String text() {
            return new String(data, StandardCharsets.UTF_8);
        }
    }

    private RawNbdClient(SocketAddress address) throws IOException {
        socket = SocketChannel.open(address);
    }

    static RawNbdClient connect(Path path) throws IOException {
        return new RawNbdClient(UnixDomainSocketAddress.of(path));
    }

    static RawNbdClient connect(int port) throws IOException {
        return new RawNbdClient(new InetSocketAddress("127.0.0.1", port));
    }

    /** Reads the greeting and sends the client's flags. */
    RawNbdClient greet() throws IOException {
        ByteBuffer greeting = receive(18);
        assertThat(greeting.getLong()).isEqualTo(Nbd.NBDMAGIC);
        assertThat(greeting.getLong()).isEqualTo(Nbd.IHAVEOPT);
        assertThat(greeting.getShort()).isEqualTo((short) 3);
        send(new Frames().clientFlags(3).take());
        return this;
    }

    /** Greets, asks for a disk, and expects to get it. */
    RawNbdClient go(String name) throws IOException {
        greet();
        send(new Frames().go(name).take());
        assertGone();
        return this;
    }

    /** Expects that a GO is granted. */
    void assertGone() throws IOException {
        List<OptionReply> replies = optionReplies();
        assertThat(replies.get(replies.size() - 1).type()).isEqualTo(Nbd.REP_ACK);
    }

    void send(byte[] bytes) throws IOException {
        ByteBuffer rest = ByteBuffer.wrap(bytes);
        while (rest.hasRemaining()) {
            socket.write(rest);
        }
    }

    ByteBuffer receive(int length) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(length);
        while (bytes.hasRemaining()) {
            if (socket.read(bytes) < 0) {
                throw new EOFException("after " + bytes.position() + " of " + length + " bytes");
            }
        }
        return bytes.flip();
    }

    /** Returns the replies to one option, up to the one that ends them. */
    List<OptionReply> optionReplies() throws IOException {
        List<OptionReply> replies = new ArrayList<>();
        while (true) {
            ByteBuffer header = receive(20);
            assertThat(header.getLong()).isEqualTo(Nbd.OPTION_REPLY_MAGIC);
            int option = header.getInt();
            int type = header.getInt();
            replies.add(new OptionReply(option, type, receive(header.getInt()).array()));
            if (type != Nbd.REP_SERVER && type != Nbd.REP_INFO) {
                return replies;
            }
        }
    }

    /** Returns the next reply. */
    Frames.Answer answer(int dataLength) throws IOException {
        ByteBuffer header = receive(16);
        assertThat(header.getInt()).isEqualTo(Nbd.SIMPLE_REPLY_MAGIC);
        int errno = header.getInt();
        long cookie = header.getLong();
        return new Frames.Answer(cookie, errno, errno == 0 ? receive(dataLength).array() : new byte[0]);
    }

    /** Expects that the server closes the connection without a further word. */
    void assertClosed() throws IOException {
        try {
            assertThat(socket.read(ByteBuffer.allocate(1))).isEqualTo(-1);
        } catch (IOException e) {
            assertThat(e).hasMessageContaining("reset");
        }
    }

    /** Expects that the server closes the connection although nothing is read from it. */
    void assertClosedUnread() {
        await().untilAsserted(() ->
                assertThatThrownBy(() -> socket.write(ByteBuffer.allocate(1))).isInstanceOf(IOException.class));
    }

    /** Reads until the server's end of the connection, and returns how much there was. */
    long bytesUntilTheEnd() throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(64 << 10);
        long count = 0;
        try {
            int now;
            while ((now = socket.read(bytes.clear())) >= 0) {
                count += now;
            }
        } catch (IOException e) {
            assertThat(e).hasMessageContaining("reset");
        }
        return count;
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}

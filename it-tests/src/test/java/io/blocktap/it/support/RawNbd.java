package io.blocktap.it.support;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.codec.nbd.Nbd;
import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * A client that speaks NBD byte by byte on a blocking socket: cheap enough for a thousand sessions, and able to say what no honest client
 * says. Thread: one.
 */
public final class RawNbd implements AutoCloseable {
    /** Flags of a client that knows both. */
    private static final int CLIENT_FLAGS = Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES;

    private static final int GREETING_BYTES = 18;
    private static final int OPTION_REPLY_BYTES = 20;
    private static final int REQUEST_BYTES = 28;
    private static final int SIMPLE_REPLY_BYTES = 16;
    private static final int MOST_REPLY_BYTES = 1 << 20;

    private final SocketChannel socket;
    private long sizeBytes;
    private int transmissionFlags;
    private long nextCookie = 1;

    /**
     * An answer to an option.
     *
     * @param option which
     * @param type {@link Nbd#REP_ACK} and so on
     * @param data what it carries
     */
    public record OptionReply(int option, int type, byte[] data) {
        /** Returns the data as text. */
        public String text() {
            return new String(data, StandardCharsets.UTF_8);
        }
    }

    /**
     * An answer to a request.
     *
     * @param error 0 or an error number
     * @param cookie of the request
     */
    public record Answer(int error, long cookie) {}

    private RawNbd(SocketChannel socket) {
        this.socket = socket;
    }

    /** Connects, and says nothing. */
    public static RawNbd connect(Path path) throws IOException {
        SocketChannel socket = SocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            socket.connect(UnixDomainSocketAddress.of(path));
            return new RawNbd(socket);
        } catch (IOException e) {
            socket.close();
            throw e;
        }
    }

    /** Connects to the default disk, ready for requests. */
    public static RawNbd open(Path path) throws IOException {
        RawNbd client = connect(path);
        try {
            client.greet();
            client.go("");
            return client;
        } catch (IOException | RuntimeException | Error e) {
            client.close();
            throw e;
        }
    }

    // ---- bytes

    /** Sends bytes as they are. */
    public void send(ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            socket.write(bytes);
        }
    }

    /** Receives that many bytes. */
    public ByteBuffer receive(int length) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(length);
        while (bytes.hasRemaining()) {
            if (socket.read(bytes) < 0) {
                throw new EOFException("closed after " + bytes.position() + " of " + length + " bytes");
            }
        }
        return bytes.flip();
    }

    /** Receives until the server has closed the connection; returns how many bytes came. */
    public long receiveToEnd() throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(1 << 16);
        long count = 0;
        try {
            for (int n = socket.read(bytes); n >= 0; n = socket.read(bytes.clear())) {
                count += n;
            }
        } catch (IOException e) {
            // A server that closes with bytes unread resets the connection.
            assertThat(e).hasMessageContaining("reset");
        }
        return count;
    }

    /** Says that nothing more will be sent. */
    public void shutdownOutput() throws IOException {
        socket.shutdownOutput();
    }

    // ---- handshake

    /** Reads the greeting and answers it. */
    public void greet() throws IOException {
        ByteBuffer greeting = receive(GREETING_BYTES);
        assertThat(greeting.getLong()).isEqualTo(Nbd.NBDMAGIC);
        assertThat(greeting.getLong()).isEqualTo(Nbd.IHAVEOPT);
        assertThat(greeting.getShort()).isEqualTo((short) CLIENT_FLAGS);
        send(ByteBuffer.allocate(Integer.BYTES).putInt(CLIENT_FLAGS).flip());
    }

    /** Returns the frame of an option. */
    public static ByteBuffer option(int option, byte[] data) {
        return ByteBuffer.allocate(Long.BYTES + 2 * Integer.BYTES + data.length)
                .putLong(Nbd.IHAVEOPT)
                .putInt(option)
                .putInt(data.length)
                .put(data)
                .flip();
    }

    /** Returns the data of the options INFO and GO that ask for nothing special. */
    public static byte[] named(String export) {
        byte[] name = export.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(Integer.BYTES + name.length + Short.BYTES)
                .putInt(name.length)
                .put(name)
                .putShort((short) 0)
                .array();
    }

    /** Sends an option. */
    public void sendOption(int option, byte[] data) throws IOException {
        send(option(option, data));
    }

    /** Receives one answer to an option. */
    public OptionReply receiveOptionReply() throws IOException {
        ByteBuffer header = receive(OPTION_REPLY_BYTES);
        assertThat(header.getLong()).isEqualTo(Nbd.OPTION_REPLY_MAGIC);
        int option = header.getInt();
        int type = header.getInt();
        int length = header.getInt();
        assertThat(length).isBetween(0, MOST_REPLY_BYTES);
        return new OptionReply(option, type, receive(length).array());
    }

    /** Asks for a disk, and is in transmission afterwards; fails if the server refuses. */
    public void go(String export) throws IOException {
        sendOption(Nbd.OPT_GO, named(export));
        OptionReply reply = receiveOptionReply();
        while (reply.type() == Nbd.REP_INFO) {
            ByteBuffer info = ByteBuffer.wrap(reply.data());
            if (info.getShort() == Nbd.INFO_EXPORT) {
                sizeBytes = info.getLong();
                transmissionFlags = info.getShort() & 0xffff;
            }
            reply = receiveOptionReply();
        }
        assertThat(reply.type()).as(reply.text()).isEqualTo(Nbd.REP_ACK);
    }

    /** Returns the size of the disk. */
    public long sizeBytes() {
        return sizeBytes;
    }

    /** Returns what the disk knows. */
    public int transmissionFlags() {
        return transmissionFlags;
    }

    // ---- transmission

    /** Returns the frame of a request, without payload. */
    public static ByteBuffer request(int command, int flags, long cookie, long offset, int length) {
        return ByteBuffer.allocate(REQUEST_BYTES)
                .putInt(Nbd.REQUEST_MAGIC)
                .putShort((short) flags)
                .putShort((short) command)
                .putLong(cookie)
                .putLong(offset)
                .putInt(length)
                .flip();
    }

    /** Sends a write and does not wait for its answer. */
    public void sendWrite(long cookie, long offset, byte[] data) throws IOException {
        send(request(Nbd.CMD_WRITE, 0, cookie, offset, data.length));
        send(ByteBuffer.wrap(data));
    }

    /** Receives an answer that carries no data. */
    public Answer receiveAnswer() throws IOException {
        ByteBuffer reply = receive(SIMPLE_REPLY_BYTES);
        assertThat(reply.getInt()).isEqualTo(Nbd.SIMPLE_REPLY_MAGIC);
        return new Answer(reply.getInt(), reply.getLong());
    }

    private int ownAnswer(long cookie) throws IOException {
        Answer answer = receiveAnswer();
        assertThat(answer.cookie()).isEqualTo(cookie);
        return answer.error();
    }

    /** Writes and returns the error number of the answer. */
    public int write(long offset, byte[] data) throws IOException {
        long cookie = nextCookie++;
        sendWrite(cookie, offset, data);
        return ownAnswer(cookie);
    }

    /** Reads; fails on an error. */
    public byte[] read(long offset, int length) throws IOException {
        long cookie = nextCookie++;
        send(request(Nbd.CMD_READ, 0, cookie, offset, length));
        assertThat(ownAnswer(cookie)).isZero();
        return receive(length).array();
    }

    /** Does a request without data, and returns the error number of the answer. */
    public int command(int command, int flags, long offset, int length) throws IOException {
        long cookie = nextCookie++;
        send(request(command, flags, cookie, offset, length));
        return ownAnswer(cookie);
    }

    /** Ends the session as the protocol has it, and waits until the server has closed the connection. */
    public void disconnect() throws IOException {
        send(request(Nbd.CMD_DISC, 0, 0, 0, 0));
        assertThat(receiveToEnd()).isZero();
        close();
    }

    /** Closes the socket, as a client that died. */
    @Override
    public void close() throws IOException {
        socket.close();
    }
}

package io.blocktap.pipeline.tap.gnbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.codec.gnbd.GnbdLoginReply;
import io.blocktap.pipeline.codec.gnbd.GnbdRequest;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;

/** A blocking client that sends what a test says. One thread. */
final class RawGnbdClient implements AutoCloseable {
    private static final int TIMEOUT_MILLIS = 10_000;

    private final Socket socket;
    private final InputStream in;

    RawGnbdClient(int port) throws IOException {
        socket = new Socket("127.0.0.1", port);
        socket.setTcpNoDelay(true);
        socket.setSoTimeout(TIMEOUT_MILLIS);
        in = socket.getInputStream();
    }

    void send(byte[] bytes) throws IOException {
        socket.getOutputStream().write(bytes);
    }

    void send(GnbdControl request) throws IOException {
        ByteBuf buffer = Unpooled.buffer();
        request.append(buffer);
        send(ByteBufUtil.getBytes(buffer));
    }

    static byte[] request(int type, long handle, long offset, int length) {
        byte[] header = new byte[GnbdRequest.BYTES];
        GnbdRequest.set(Unpooled.wrappedBuffer(header), 0, type, handle, offset, length);
        return header;
    }

    void sendRequest(int type, long handle, long offset, int length) throws IOException {
        send(request(type, handle, offset, length));
    }

    void sendWrite(long handle, long offset, byte[] data) throws IOException {
        byte[] header = request(Gnbd.WRITE, handle, offset, data.length);
        byte[] frame = java.util.Arrays.copyOf(header, header.length + data.length);
        System.arraycopy(data, 0, frame, header.length, data.length);
        send(frame);
    }

    byte[] receive(int length) throws IOException {
        byte[] bytes = in.readNBytes(length);
        assertThat(bytes.length).as("bytes before the end of the stream").isEqualTo(length);
        return bytes;
    }

    int receiveInt() throws IOException {
        return Unpooled.wrappedBuffer(receive(4)).readInt();
    }

    /** Receives a reply without data, and checks magic number and handle. */
    int receiveReply(long handle) throws IOException {
        ByteBuf reply = Unpooled.wrappedBuffer(receive(16));
        assertThat(reply.readInt()).isEqualTo(Gnbd.REPLY_MAGIC);
        int error = reply.readInt();
        assertThat(reply.readLong()).isEqualTo(handle);
        return error;
    }

    /** Receives nothing more: the stream has ended. */
    void receiveEnd() throws IOException {
        try {
            assertThat(in.read()).as("a byte instead of the end").isEqualTo(-1);
        } catch (SocketException e) {
            // a reset is an end, too
        }
    }

    /** Returns whether nothing comes for so long. */
    boolean isSilent(int millis) throws IOException {
        socket.setSoTimeout(millis);
        try {
            in.read();
            return false;
        } catch (SocketTimeoutException e) {
            return true;
        } finally {
            socket.setSoTimeout(TIMEOUT_MILLIS);
        }
    }

    GnbdLoginReply login(long timestamp, String export, String node) throws IOException {
        send(GnbdControl.login(timestamp, export, node));
        return GnbdLoginReply.read(Unpooled.wrappedBuffer(receive(16)), 0);
    }

    /** Logs in and expects to be let in. */
    RawGnbdClient loggedIn(String export, String node) throws IOException {
        assertThat(login(1, export, node).errno()).isZero();
        return this;
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }
}

package io.blocktap.transport.xen.store;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;

/** The other side of the socket, played by the test itself: it takes a request when it wants to and answers as it likes. */
final class FakeXenstored implements AutoCloseable {
    private final Path path;
    private ServerSocketChannel server;
    private SocketChannel connection;

    FakeXenstored(Path path) throws IOException {
        this.path = path;
        listen();
    }

    void listen() throws IOException {
        Files.deleteIfExists(path);
        server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        server.bind(UnixDomainSocketAddress.of(path));
    }

    void accept() throws IOException {
        connection = server.accept();
    }

    private ByteBuffer read(int bytes) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(bytes).order(ByteOrder.nativeOrder());
        while (buffer.hasRemaining()) {
            if (connection.read(buffer) < 0) {
                throw new EOFException();
            }
        }
        return buffer.flip();
    }

    /** Waits for the next request. */
    XsMessage take() throws IOException {
        ByteBuffer header = read(XsWire.HEADER_BYTES);
        int length = header.getInt(12);
        return new XsMessage(
                header.getInt(0),
                header.getInt(4),
                header.getInt(8),
                read(length).array());
    }

    /** Waits for the next request, which must be of a type and consist of these strings. */
    XsMessage take(int type, Object... strings) throws IOException {
        XsMessage request = take();
        assertThat(XsWire.name(request.type())).isEqualTo(XsWire.name(type));
        assertThat(request.payload()).isEqualTo(XsRequest.strings(strings));
        return request;
    }

    /** Waits until the client has closed the connection. */
    void awaitEnd() throws IOException {
        ByteBuffer rest = ByteBuffer.allocate(4096);
        while (connection.read(rest.clear()) >= 0) {
            assertThat(rest).isNotNull();
        }
    }

    void send(XsMessage message) throws IOException {
        ByteBuf bytes = Unpooled.buffer();
        XsWire.write(bytes, message);
        send(bytes.nioBuffer());
    }

    void send(ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            connection.write(bytes);
        }
    }

    void reply(XsMessage request, byte[] payload) throws IOException {
        send(new XsMessage(request.type(), request.reqId(), request.txId(), payload));
    }

    void reply(XsMessage request, Object... strings) throws IOException {
        reply(request, XsRequest.strings(strings));
    }

    void ok(XsMessage request) throws IOException {
        reply(request, "OK");
    }

    void refuse(XsMessage request, String error) throws IOException {
        send(new XsMessage(XsWire.XS_ERROR, request.reqId(), request.txId(), XsRequest.strings(error)));
    }

    void fire(Object path, String token) throws IOException {
        send(new XsMessage(XsWire.XS_WATCH_EVENT, 0, 0, XsRequest.strings(path, token)));
    }

    /** Dies: the connection ends, and nobody listens any more. */
    void die() throws IOException {
        server.close();
        Files.deleteIfExists(path);
        if (connection != null) {
            connection.close();
        }
    }

    @Override
    public void close() throws IOException {
        die();
    }
}

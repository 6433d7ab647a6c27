package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.codec.gnbd.GnbdExport;
import io.blocktap.pipeline.codec.gnbd.GnbdLoginReply;
import io.blocktap.pipeline.codec.gnbd.GnbdReply;
import io.blocktap.pipeline.codec.gnbd.GnbdRequest;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * A server that does what the test says, right or wrong: for what no well-behaved server does, and for what the original one does and ours does not. Blocking sockets, a thread for
 * each connection; one request of a session after another.
 */
final class ScriptedServer implements AutoCloseable {
    static final int SECTORS = 2048;

    /** One request of a session. */
    record Request(Session session, int type, long handle, long offset, int length, byte[] payload) {
        /** Returns it as in {@link ScriptedServer#seen}: {@code WRITE 0+512}. */
        String shown() {
            String name = List.of("READ", "WRITE", "DISC", "PING").get(type);
            return name + " " + offset + "+" + length;
        }
    }

    /** What becomes of a request; the default is {@link #serve}. */
    @FunctionalInterface
    interface Behaviour {
        void handle(Request request) throws IOException;
    }

    final List<String> seen = new CopyOnWriteArrayList<>();
    final List<Long> timestamps = new CopyOnWriteArrayList<>();
    final byte[] content = new byte[SECTORS * Gnbd.SECTOR_BYTES];
    volatile List<GnbdExport> exports = List.of(new GnbdExport("disk", 0, false));
    volatile long sectors = SECTORS;
    volatile int loginErrno;
    volatile boolean endsAfterLogin;
    volatile byte[] namesReply;
    volatile Behaviour behaviour = this::serve;

    private final Set<Socket> open = ConcurrentHashMap.newKeySet();
    private volatile ServerSocket listener;

    ScriptedServer() throws IOException {
        listener = listen(0);
    }

    private ServerSocket listen(int port) throws IOException {
        ServerSocket socket = new ServerSocket();
        socket.setReuseAddress(true);
        socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
        start(() -> accept(socket));
        return socket;
    }

    private static void start(Runnable task) {
        Thread thread = new Thread(task, "scripted gnbd server");
        thread.setDaemon(true);
        thread.start();
    }

    int port() {
        return listener.getLocalPort();
    }

    /** Is away: all connections end, new ones are refused. */
    void goAway() throws IOException {
        listener.close();
        cut();
    }

    /** Listens again, on the same port. */
    void comeBack() throws IOException {
        listener = listen(listener.getLocalPort());
    }

    /** Ends all connections. */
    void cut() {
        open.forEach(ScriptedServer::close);
    }

    private static void close(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private void accept(ServerSocket from) {
        try {
            while (true) {
                Socket socket = from.accept();
                open.add(socket);
                start(() -> talk(socket));
            }
        } catch (IOException e) {
            // closed by the test
        }
    }

    private void talk(Socket socket) {
        try (socket) {
            socket.setTcpNoDelay(true);
            control(socket);
        } catch (IOException e) {
            // cut by the test or by the client
        } finally {
            open.remove(socket);
        }
    }

    private void control(Socket socket) throws IOException {
        DataInputStream in = new DataInputStream(socket.getInputStream());
        int command = in.readInt();
        byte[] body = in.readNBytes(GnbdControl.bytes(command) - Integer.BYTES);
        ByteBuf whole = Unpooled.buffer().writeInt(command).writeBytes(body);
        GnbdControl request;
        try {
            request = GnbdControl.read(whole, 0, whole.readableBytes());
        } catch (Exception e) {
            throw new IOException(e);
        }
        OutputStream out = socket.getOutputStream();
        switch (command) {
            case Gnbd.NAMES -> {
                seen.add("NAMES");
                byte[] own = namesReply;
                out.write(own != null ? own : names());
            }
            case Gnbd.KILL_GSERV -> {
                seen.add("KILL " + request.device());
                out.write(new byte[4]);
            }
            case Gnbd.LOGIN -> {
                seen.add("LOGIN " + request.device());
                timestamps.add(request.timestamp());
                ByteBuf reply = Unpooled.buffer();
                new GnbdLoginReply(sectors, loginErrno == Gnbd.EINVAL ? Gnbd.VERSION : 0, loginErrno).append(reply);
                if (in.available() > 0) {
                    seen.add("DATA BEFORE THE LOGIN REPLY");
                }
                out.write(ByteBufUtil.getBytes(reply));
                if (loginErrno == 0 && !endsAfterLogin) {
                    data(new Session(socket, in, out));
                }
            }
            default -> throw new IOException("command " + command);
        }
    }

    private byte[] names() {
        ByteBuf reply = Unpooled.buffer().writeInt(0).writeInt(exports.size() * GnbdExport.BYTES);
        exports.forEach(export -> export.append(reply));
        return ByteBufUtil.getBytes(reply);
    }

    private void data(Session session) throws IOException {
        GnbdRequest header = new GnbdRequest();
        while (true) {
            byte[] bytes = session.in.readNBytes(GnbdRequest.BYTES);
            if (bytes.length < GnbdRequest.BYTES) {
                return;
            }
            if (!header.read(Unpooled.wrappedBuffer(bytes), 0)) {
                seen.add("WRONG MAGIC");
                return;
            }
            int length = (int) header.lengthBytes();
            if (length > Gnbd.MAX_DATA_BYTES || !header.isInside(sectors * Gnbd.SECTOR_BYTES)) {
                seen.add("OUT OF BOUNDS");
                return;
            }
            byte[] payload = header.type() == Gnbd.WRITE ? session.in.readNBytes(length) : new byte[0];
            if (header.type() == Gnbd.WRITE && payload.length < length) {
                return;
            }
            Request request =
                    new Request(session, header.type(), header.handle(), header.offsetBytes(), length, payload);
            seen.add(request.shown());
            if (header.type() == Gnbd.PING) {
                session.reply(header.handle(), 0);
            } else if (header.type() == Gnbd.DISC) {
                session.reply(header.handle(), 0);
                return;
            } else {
                behaviour.handle(request);
            }
        }
    }

    /** Does what was asked, and answers. */
    void serve(Request request) throws IOException {
        if (request.type == Gnbd.WRITE) {
            System.arraycopy(request.payload, 0, content, (int) request.offset, request.length);
            request.session.reply(request.handle, 0);
        } else {
            byte[] data =
                    java.util.Arrays.copyOfRange(content, (int) request.offset, (int) request.offset + request.length);
            request.session.reply(request.handle, 0, data);
        }
    }

    @Override
    public void close() throws IOException {
        goAway();
    }

    /** One session. */
    static final class Session {
        private final Socket socket;
        private final DataInputStream in;
        private final OutputStream out;

        Session(Socket socket, DataInputStream in, OutputStream out) {
            this.socket = socket;
            this.in = in;
            this.out = out;
        }

        /** Sends a reply, in one piece with its data. */
        void reply(long handle, int error, byte... data) throws IOException {
            byte[] reply = new byte[GnbdReply.BYTES + data.length];
            GnbdReply.set(Unpooled.wrappedBuffer(reply), 0, error, handle);
            System.arraycopy(data, 0, reply, GnbdReply.BYTES, data.length);
            send(reply);
        }

        /** Sends any bytes. */
        synchronized void send(byte... bytes) throws IOException {
            out.write(bytes);
        }

        /** Ends the session. */
        void end() throws IOException {
            socket.close();
        }
    }
}

package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdLoginReply;
import io.blocktap.pipeline.codec.gnbd.GnbdReply;
import io.blocktap.pipeline.codec.gnbd.GnbdRequest;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/**
 * A bad network between a client and a server of GNBD. It cuts connections after a random number of bytes, wherever that is; delays; hands over single bytes; and
 * puts keep-alives with garbage in them between the replies of a session, one or several.
 *
 * <p>Blocking sockets, two threads a connection.
 */
final class FaultProxy implements AutoCloseable {
    private static final int LOGIN_BYTES = 117;
    private static final int CHUNK_BYTES = 64 << 10;
    /** The mean length of a connection's life, in bytes, is half of this. */
    private static final int LONGEST_LIFE_BYTES = 3 << 20;

    private final int target;
    private final Random random;
    private final ServerSocket listener;
    private final Set<Socket> open = ConcurrentHashMap.newKeySet();
    private final AtomicInteger cuts = new AtomicInteger();
    private final AtomicInteger keepAlives = new AtomicInteger();
    private volatile boolean isGood;

    /** Makes a proxy before a server on loopback; the seed decides all that it does, as far as threads allow. */
    FaultProxy(int target, long seed) throws IOException {
        this.target = target;
        this.random = new Random(seed);
        listener = new ServerSocket();
        listener.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
        start(this::accept);
    }

    int port() {
        return listener.getLocalPort();
    }

    /** Returns how many connections were cut. */
    int cuts() {
        return cuts.get();
    }

    /** Returns how many keep-alives were put in. */
    int keepAlives() {
        return keepAlives.get();
    }

    /** Does no harm from now on. */
    void beGood() {
        isGood = true;
    }

    /** Does harm again. */
    void beBad() {
        isGood = false;
    }

    private synchronized int random(int bound) {
        return random.nextInt(bound);
    }

    private static void start(Runnable task) {
        Thread thread = new Thread(task, "fault proxy");
        thread.setDaemon(true);
        thread.start();
    }

    private void accept() {
        try {
            while (true) {
                Socket client = listener.accept();
                Socket server = new Socket(InetAddress.getLoopbackAddress(), target);
                client.setTcpNoDelay(true);
                server.setTcpNoDelay(true);
                open.add(client);
                open.add(server);
                Connection connection = new Connection(client, server);
                start(connection::up);
                start(connection::down);
            }
        } catch (IOException e) {
            // closed by the test
        }
    }

    @Override
    public void close() throws IOException {
        listener.close();
        for (Socket socket : open) {
            socket.close();
        }
    }

    private final class Connection {
        private final Socket client;
        private final Socket server;
        private final Map<Long, Integer> readLengths = new ConcurrentHashMap<>();
        private final AtomicInteger bytesLeft;
        private volatile boolean isSession;

        Connection(Socket client, Socket server) {
            this.client = client;
            this.server = server;
            // One in ten ends within its first bytes: in NAMES, KILL_GSERV, the login.
            this.bytesLeft = new AtomicInteger(1 + random(random(10) == 0 ? 150 : LONGEST_LIFE_BYTES));
        }

        private void end(boolean abruptly) {
            try {
                if (abruptly) {
                    client.setSoLinger(true, 0);
                }
            } catch (IOException e) {
                // it is closed already
            }
            for (Socket socket : new Socket[] {client, server}) {
                open.remove(socket);
                try {
                    socket.close();
                } catch (IOException e) {
                    throw new AssertionError(e);
                }
            }
        }

        /** Hands over bytes, in pieces or not, late or not, all or not. */
        private void pass(OutputStream to, byte[] bytes, int count) throws IOException {
            int passed = count;
            if (!isGood && bytesLeft.addAndGet(-count) <= 0) {
                passed = Math.max(0, count + bytesLeft.get());
            }
            int at = 0;
            if (!isGood && random(100) == 0) {
                while (at < Math.min(passed, 60)) {
                    to.write(bytes, at++, 1);
                }
            }
            if (!isGood && random(200) == 0) {
                LockSupport.parkNanos(random(3_000_000));
            }
            to.write(bytes, at, passed - at);
            if (passed < count || !isGood && bytesLeft.get() <= 0) {
                cuts.incrementAndGet();
                end(random(2) == 0);
                throw new IOException("cut");
            }
        }

        // ---- from the client

        void up() {
            try {
                InputStream in = client.getInputStream();
                OutputStream out = server.getOutputStream();
                byte[] command = in.readNBytes(Integer.BYTES);
                if (command.length == Integer.BYTES) {
                    isSession = ByteBuffer.wrap(command).getInt() == Gnbd.LOGIN;
                    pass(out, command, command.length);
                    if (isSession) {
                        copy(in, out, LOGIN_BYTES - Integer.BYTES);
                        requests(in, out);
                    } else {
                        in.transferTo(out);
                    }
                }
            } catch (IOException e) {
                // cut
            } finally {
                end(false);
            }
        }

        private void requests(InputStream in, OutputStream out) throws IOException {
            GnbdRequest request = new GnbdRequest();
            byte[] header;
            while ((header = in.readNBytes(GnbdRequest.BYTES)).length == GnbdRequest.BYTES) {
                request.read(Unpooled.wrappedBuffer(header), 0);
                if (request.type() == Gnbd.READ) {
                    readLengths.put(request.handle(), (int) request.lengthBytes());
                }
                pass(out, header, header.length);
                if (request.type() == Gnbd.WRITE) {
                    copy(in, out, (int) request.lengthBytes());
                }
            }
        }

        private void copy(InputStream in, OutputStream out, int length) throws IOException {
            int left = length;
            while (left > 0) {
                byte[] chunk = in.readNBytes(Math.min(left, CHUNK_BYTES));
                if (chunk.length == 0) {
                    throw new IOException("end of stream");
                }
                pass(out, chunk, chunk.length);
                left -= chunk.length;
            }
        }

        // ---- from the server

        void down() {
            try {
                InputStream in = server.getInputStream();
                OutputStream out = client.getOutputStream();
                byte[] first = in.readNBytes(1);
                if (first.length == 1) {
                    pass(out, first, 1);
                    if (isSession) {
                        copy(in, out, GnbdLoginReply.BYTES - 1);
                        replies(in, out);
                    } else {
                        in.transferTo(out);
                    }
                }
            } catch (IOException e) {
                // cut
            } finally {
                end(false);
            }
        }

        private void replies(InputStream in, OutputStream out) throws IOException {
            byte[] header;
            while ((header = in.readNBytes(GnbdReply.BYTES)).length == GnbdReply.BYTES) {
                for (int i = random(40) == 0 ? 1 + random(3) : 0; i > 0; i--) {
                    byte[] keepAlive = new byte[GnbdReply.BYTES];
                    random.nextBytes(keepAlive);
                    ByteBuffer.wrap(keepAlive).putInt(Gnbd.KEEP_ALIVE_MAGIC);
                    pass(out, keepAlive, keepAlive.length);
                    keepAlives.incrementAndGet();
                }
                pass(out, header, header.length);
                var reply = Unpooled.wrappedBuffer(header);
                Integer length = readLengths.remove(GnbdReply.handle(reply, 0));
                if (length != null && GnbdReply.error(reply, 0) == 0) {
                    copy(in, out, length);
                }
            }
        }
    }
}

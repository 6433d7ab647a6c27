package io.blocktap.transport.sys;

import com.sun.jna.Native;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * A non-blocking {@code AF_UNIX}, {@code SOCK_SEQPACKET} socket whose packets may carry file descriptors.
 *
 * <p>Netty's own descriptor passing takes one byte and exactly one descriptor a message, which no protocol with a header
 * can use. This one is for hand-shakes and rare control messages: each call allocates its small native block and frees it.
 *
 * <p>Threads: one at a time. Source: unix(7), cmsg(3), {@code struct msghdr} of 64-bit Linux.
 */
public final class SeqPacketSocket implements AutoCloseable {
    /** Most bytes of one packet that {@link #receive} takes. */
    public static final int MAX_PACKET_BYTES = 512;

    private static final int MAX_FDS = 8;
    private static final int AF_UNIX = 1;
    private static final int SOCK_SEQPACKET_NONBLOCK_CLOEXEC = 5 | 0x800 | 0x80000;
    private static final int SOCK_NONBLOCK_CLOEXEC = 0x800 | 0x80000;
    private static final int SOL_SOCKET = 1;
    private static final int SCM_RIGHTS = 1;
    private static final int SO_PEERCRED = 17;
    private static final int MSG_DONTWAIT = 0x40;
    private static final int MSG_NOSIGNAL = 0x4000;
    private static final int MSG_CMSG_CLOEXEC = 0x40000000;
    private static final int MAX_PATH_BYTES = 107;
    private static final int BACKLOG = 1024; // a connect beyond it fails with EAGAIN at once
    private static final int ECONNABORTED = 103;
    private static final int ECONNRESET = 104;

    // One native block a call: msghdr (56 bytes), iovec (16), control (16 + 4 * MAX_FDS), payload.
    private static final int IOVEC = 56;
    private static final int CONTROL = IOVEC + 16;
    private static final int CONTROL_HEADER_BYTES = 16;
    private static final int PAYLOAD = CONTROL + CONTROL_HEADER_BYTES + 4 * MAX_FDS;

    static {
        Native.register(SeqPacketSocket.class, "c");
    }

    private final Fd fd;
    private final String name;

    private SeqPacketSocket(Fd fd, String name) {
        this.fd = fd;
        this.name = name;
    }

    private static native int socket(int domain, int type, int protocol);

    private static native int bind(int fd, byte[] address, int length);

    private static native int listen(int fd, int backlog);

    private static native int connect(int fd, byte[] address, int length);

    private static native int accept4(int fd, long address, long length, int flags);

    private static native long sendmsg(int fd, long header, int flags);

    private static native long recvmsg(int fd, long header, int flags);

    private static native int getsockopt(int fd, int level, int option, int[] value, int[] length);

    /**
     * A received packet.
     *
     * @param data the bytes, little-endian
     * @param fds the descriptors that came with it, owned by whoever receives this
     */
    public record Packet(ByteBuffer data, List<Fd> fds) {}

    /**
     * Binds and listens.
     *
     * @param path where the socket appears; it must not exist
     */
    public static SeqPacketSocket listenOn(String path) throws NativeException {
        SeqPacketSocket result = open(path);
        try {
            byte[] address = address(path);
            if (bind(result.fd.number(), address, address.length) < 0) {
                throw new NativeException("bind", path, Native.getLastError());
            }
            if (listen(result.fd.number(), BACKLOG) < 0) {
                throw new NativeException("listen", path, Native.getLastError());
            }
            return result;
        } catch (NativeException e) {
            result.close();
            throw e;
        }
    }

    /** Connects to a listening socket; a unix socket connects at once or fails. */
    public static SeqPacketSocket connectTo(String path) throws NativeException {
        SeqPacketSocket result = open(path);
        try {
            byte[] address = address(path);
            if (connect(result.fd.number(), address, address.length) < 0) {
                throw new NativeException("connect", path, Native.getLastError());
            }
            return result;
        } catch (NativeException e) {
            result.close();
            throw e;
        }
    }

    private static SeqPacketSocket open(String path) throws NativeException {
        int number = socket(AF_UNIX, SOCK_SEQPACKET_NONBLOCK_CLOEXEC, 0);
        if (number < 0) {
            throw new NativeException("socket", path, Native.getLastError());
        }
        return new SeqPacketSocket(new Fd(number), path);
    }

    private static byte[] address(String path) throws NativeException {
        byte[] bytes = path.getBytes(StandardCharsets.UTF_8);
        if (bytes.length == 0 || bytes.length > MAX_PATH_BYTES) {
            throw new NativeException(
                    "sockaddr_un", path + ", " + bytes.length + " bytes of " + MAX_PATH_BYTES, Errno.EINVAL);
        }
        ByteBuffer address = ByteBuffer.allocate(2 + bytes.length + 1).order(ByteOrder.nativeOrder());
        address.putShort((short) AF_UNIX).put(bytes);
        return address.array();
    }

    /** Returns the descriptor, which stays owned by this socket. */
    public Fd fd() {
        return fd;
    }

    /**
     * Takes one waiting connection.
     *
     * @return the connection, or null when nobody waits
     */
    public @org.jspecify.annotations.Nullable SeqPacketSocket accept() throws NativeException {
        int errno;
        do {
            int number = accept4(fd.number(), 0, 0, SOCK_NONBLOCK_CLOEXEC);
            if (number >= 0) {
                return new SeqPacketSocket(new Fd(number), name);
            }
            errno = Native.getLastError();
            // These concern one connection or none; others may wait, and an edge-triggered listener is not told again.
        } while (errno == Errno.EINTR || errno == ECONNABORTED);
        if (errno == Errno.EAGAIN) {
            return null;
        }
        throw new NativeException("accept4", name, errno);
    }

    /** Returns the user id of the process that connected ({@code SO_PEERCRED}). */
    public int peerUid() throws NativeException {
        int[] credentials = new int[3]; // struct ucred: pid, uid, gid
        if (getsockopt(fd.number(), SOL_SOCKET, SO_PEERCRED, credentials, new int[] {12}) < 0) {
            throw new NativeException("getsockopt", name + ", SO_PEERCRED", Native.getLastError());
        }
        return credentials[1];
    }

    /**
     * Sends one packet, or fails: a full socket is an error too, for the peer has then stopped reading.
     *
     * @param data what lies between position and limit
     * @param fds descriptors to pass along, at most 8; they stay owned by the caller
     */
    public void send(ByteBuffer data, Fd... fds) throws NativeException {
        int length = data.remaining();
        if (length > MAX_PACKET_BYTES || fds.length > MAX_FDS) {
            throw new IllegalArgumentException(length + " bytes, " + fds.length + " descriptors");
        }
        try (MessageBlock block = new MessageBlock(length, fds.length)) {
            block.memory.put(PAYLOAD, data, data.position(), length);
            if (fds.length > 0) {
                block.memory.putLong(CONTROL, CONTROL_HEADER_BYTES + 4L * fds.length);
                block.memory.putInt(CONTROL + 8, SOL_SOCKET).putInt(CONTROL + 12, SCM_RIGHTS);
                for (int i = 0; i < fds.length; i++) {
                    block.memory.putInt(CONTROL + CONTROL_HEADER_BYTES + 4 * i, fds[i].number());
                }
            }
            if (sendmsg(fd.number(), block.address, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
                throw new NativeException("sendmsg", name, Native.getLastError());
            }
        }
    }

    /**
     * Receives one packet.
     *
     * @return the packet; an empty one when the peer has closed; null when nothing has arrived
     */
    public @org.jspecify.annotations.Nullable Packet receive() throws NativeException {
        try (MessageBlock block = new MessageBlock(MAX_PACKET_BYTES, MAX_FDS)) {
            long length = recvmsg(fd.number(), block.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
            if (length < 0 && Native.getLastError() == ECONNRESET) {
                // The peer closed without reading all we sent. That is told once, before the packets that it had sent.
                length = recvmsg(fd.number(), block.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
            }
            if (length < 0) {
                int errno = Native.getLastError();
                if (errno == Errno.EAGAIN || errno == Errno.EINTR) {
                    return null;
                }
                throw new NativeException("recvmsg", name, errno);
            }
            ByteBuffer data = ByteBuffer.allocate((int) length).order(ByteOrder.LITTLE_ENDIAN);
            data.put(0, block.memory, PAYLOAD, (int) length);
            return new Packet(data, takeFds(block.memory));
        }
    }

    private static List<Fd> takeFds(ByteBuffer memory) {
        List<Fd> fds = new ArrayList<>();
        long controlBytes = memory.getLong(40);
        if (controlBytes >= CONTROL_HEADER_BYTES
                && memory.getInt(CONTROL + 8) == SOL_SOCKET
                && memory.getInt(CONTROL + 12) == SCM_RIGHTS) {
            long count = (memory.getLong(CONTROL) - CONTROL_HEADER_BYTES) / 4;
            for (int i = 0; i < count; i++) {
                fds.add(new Fd(memory.getInt(CONTROL + CONTROL_HEADER_BYTES + 4 * i)));
            }
        }
        return fds;
    }

    @Override
    public void close() {
        fd.close();
    }

    @Override
    public String toString() {
        return "SeqPacketSocket(" + name + ", " + fd + ")";
    }

    /** The native memory of one call: header, vector, control block and payload. */
    private static final class MessageBlock implements AutoCloseable {
        final long address;
        final ByteBuffer memory;

        MessageBlock(int payloadBytes, int fdCount) {
            int size = PAYLOAD + payloadBytes;
            address = Native.malloc(size);
            memory = Libc.view(address, size);
            memory.put(0, new byte[size]);
            memory.putLong(16, address + IOVEC).putLong(24, 1);
            memory.putLong(IOVEC, address + PAYLOAD).putLong(IOVEC + 8, payloadBytes);
            if (fdCount > 0) {
                // CMSG_SPACE: the data rounded up to 8 bytes.
                memory.putLong(32, address + CONTROL).putLong(40, CONTROL_HEADER_BYTES + ((4L * fdCount + 7) & ~7L));
            }
        }

        @Override
        public void close() {
            Native.free(address);
        }
    }
}

package io.blocktap.transport.xen.store;

import io.blocktap.transport.FdPoll;
import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFactory;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandler;
import io.netty.channel.EventLoop;
import io.netty.channel.IoEventLoop;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.channel.uring.IoUringDomainSocketChannel;
import io.netty.channel.uring.IoUringIoHandler;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * Where the xenstore is: xenstored's unix socket, in the domain that xenstored runs in, or the kernel's device, in any domain.
 *
 * <p>The socket is better where there is one: it takes many requests at a time, the device one; it can be connected again after a restart of xenstored; and
 * setting a watch does not wait in the kernel.
 */
public final class XenStoreEndpoint {
    private static final List<String> SOCKETS = List.of("/run/xenstored/socket", "/var/run/xenstored/socket");
    private static final List<String> DEVICES = List.of("/dev/xen/xenbus", "/proc/xen/xenbus");

    private static final int S_IFMT = 0170000;
    private static final int S_IFSOCK = 0140000;
    /** The same number on all architectures that we run on ({@code asm-generic/fcntl.h}). */
    private static final int O_NONBLOCK = 0x800;

    private enum Kind {
        SOCKET,
        DEVICE
    }

    private final Kind kind;
    private final Path path;

    private XenStoreEndpoint(Kind kind, Path path) {
        this.kind = kind;
        this.path = path;
    }

    /** Names a socket that xenstored listens on. */
    public static XenStoreEndpoint socket(Path path) {
        return new XenStoreEndpoint(Kind.SOCKET, path);
    }

    /** Names the kernel's device, {@code /dev/xen/xenbus}. */
    public static XenStoreEndpoint device(Path path) {
        return new XenStoreEndpoint(Kind.DEVICE, path);
    }

    /**
     * Finds the xenstore of this machine: what {@code XENSTORED_PATH} names; the socket in {@code XENSTORED_RUNDIR}; the sockets and devices at their usual
     * places. A variable that is set counts: if nothing is there, that is an error.
     *
     * @throws TapException if there is none; one line that says what would be right
     */
    public static XenStoreEndpoint find() throws TapException {
        return find(System.getenv(), Path.of("/"));
    }

    static XenStoreEndpoint find(Map<String, String> environment, Path root) throws TapException {
        String named = environment.getOrDefault("XENSTORED_PATH", "");
        if (!named.isEmpty()) {
            return named("XENSTORED_PATH=" + named, Path.of(named));
        }
        String folder = environment.getOrDefault("XENSTORED_RUNDIR", "");
        if (!folder.isEmpty()) {
            return named("XENSTORED_RUNDIR=" + folder, Path.of(folder, "socket"));
        }
        for (String each : SOCKETS) {
            Path path = root.resolve(each.substring(1));
            if (isSocket(path)) {
                return socket(path);
            }
        }
        for (String each : DEVICES) {
            Path path = root.resolve(each.substring(1));
            if (Files.exists(path)) {
                return device(path);
            }
        }
        throw new TapException("no xenstore here: none of " + String.join(", ", SOCKETS) + ", "
                + String.join(", ", DEVICES)
                + " exists; on a Xen host start xenstored, in another domain load the module"
                + " xenfs, or set XENSTORED_PATH");
    }

    private static XenStoreEndpoint named(String setting, Path path) throws TapException {
        if (!Files.exists(path)) {
            throw new TapException(
                    "no xenstore at " + path + " (" + setting + "): start xenstored, or unset the variable");
        }
        return isSocket(path) ? socket(path) : device(path);
    }

    private static boolean isSocket(Path path) {
        try {
            return ((Integer) Files.getAttribute(path, "unix:mode") & S_IFMT) == S_IFSOCK;
        } catch (IOException e) {
            return false; // not there, or not ours to see
        }
    }

    /** Returns whether a connection that has ended may be made again: xenstored may come back, the kernel's device does not end by itself. */
    boolean mayReconnect() {
        return kind == Kind.SOCKET;
    }

    /** Returns whether replies may come without the request's number: Linux makes up the answers to WATCH and UNWATCH itself. */
    boolean matchesByOrder() {
        return kind == Kind.DEVICE;
    }

    /**
     * Returns how many requests may be on their way. One for the device: the kernel sends a request's payload to xenstored later, out of the buffer that the
     * next write to the same descriptor overwrites ({@code xenbus_xs.c, xenbus_dev_request_and_reply}: {@code vec->iov_base = msg + 1}). Seen on 6.12: of 300
     * writes sent at once all were answered OK, and 66 nodes were missing afterwards.
     */
    int maxOutstanding() {
        return kind == Kind.SOCKET ? Integer.MAX_VALUE : 1;
    }

    /** Returns how much fits behind the header of a request. */
    int payloadMaxBytes() {
        return kind == Kind.SOCKET ? XsWire.PAYLOAD_MAX_BYTES : XsWire.DEVICE_PAYLOAD_MAX_BYTES;
    }

    /**
     * Connects.
     *
     * @param handler takes the channel's bytes
     * @return completes when the channel is active
     */
    ChannelFuture connect(EventLoop loop, ChannelHandler handler) throws IOException {
        if (!FdPoll.isCompatible(loop)) {
            throw new TapException(
                    "an epoll event loop, or an io_uring one on Linux 5.13 or later, is needed, not " + loop);
        }
        return kind == Kind.SOCKET ? connectSocket(loop, handler) : openDevice(loop, handler);
    }

    private ChannelFuture connectSocket(EventLoop loop, ChannelHandler handler) {
        ChannelFactory<Channel> channels = ((IoEventLoop) loop).isIoType(IoUringIoHandler.class)
                ? IoUringDomainSocketChannel::new
                : EpollDomainSocketChannel::new;
        return new Bootstrap()
                .group(loop)
                .channelFactory(channels)
                .handler(handler)
                .connect(new DomainSocketAddress(path.toString()));
    }

    private ChannelFuture openDevice(EventLoop loop, ChannelHandler handler) throws NativeException {
        Fd device = Libc.openFile(path.toString(), Libc.O_RDWR | O_NONBLOCK, 0);
        XenBusChannel channel = new XenBusChannel(device);
        channel.pipeline().addLast(handler);
        return loop.register(channel);
    }

    /** Returns the path. */
    @Override
    public String toString() {
        return path.toString();
    }
}

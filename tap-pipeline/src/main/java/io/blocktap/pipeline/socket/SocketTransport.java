package io.blocktap.pipeline.socket;

import io.blocktap.pipeline.StageException;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFactory;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.IoEventLoopGroup;
import io.netty.channel.ServerChannel;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.unix.PeerCredentials;
import io.netty.channel.uring.IoUringDomainSocketChannel;
import io.netty.channel.uring.IoUringIoHandle;
import io.netty.channel.uring.IoUringServerDomainSocketChannel;
import io.netty.channel.uring.IoUringServerSocketChannel;
import io.netty.channel.uring.IoUringSocketChannel;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;

/** The socket channels that fit a group of event loops. */
public enum SocketTransport {
    /** Sockets on epoll. */
    EPOLL(EpollServerDomainSocketChannel::new, EpollServerSocketChannel::new, EpollSocketChannel::new),
    /** Sockets on io_uring. */
    IO_URING(IoUringServerDomainSocketChannel::new, IoUringServerSocketChannel::new, IoUringSocketChannel::new);

    private final ChannelFactory<ServerChannel> unixServer;
    private final ChannelFactory<ServerChannel> tcpServer;
    private final ChannelFactory<Channel> tcpClient;

    SocketTransport(
            ChannelFactory<ServerChannel> unixServer,
            ChannelFactory<ServerChannel> tcpServer,
            ChannelFactory<Channel> tcpClient) {
        this.unixServer = unixServer;
        this.tcpServer = tcpServer;
        this.tcpClient = tcpClient;
    }

    /**
     * Finds the channels for a group.
     *
     * @throws StageException if its loops are neither epoll nor io_uring
     */
    public static SocketTransport of(EventLoopGroup group) throws StageException {
        if (group instanceof IoEventLoopGroup loops) {
            if (loops.isCompatible(EpollIoHandle.class)) {
                return EPOLL;
            }
            if (loops.isCompatible(IoUringIoHandle.class)) {
                return IO_URING;
            }
        }
        throw new StageException("needs event loops on epoll or io_uring, not "
                + group.getClass().getName());
    }

    /** Returns what makes listening unix sockets. */
    public ChannelFactory<ServerChannel> unixServer() {
        return unixServer;
    }

    /** Returns what makes listening TCP sockets. */
    public ChannelFactory<ServerChannel> tcpServer() {
        return tcpServer;
    }

    /** Returns what makes TCP sockets to connect with. */
    public ChannelFactory<Channel> tcpClient() {
        return tcpClient;
    }

    /** Returns who is at the other end: the process of a unix socket, the address of a TCP one. */
    public String peer(Channel channel) {
        try {
            if (channel instanceof EpollDomainSocketChannel unix) {
                return process(unix.peerCredentials());
            }
            if (channel instanceof IoUringDomainSocketChannel unix) {
                return process(unix.peerCredentials());
            }
        } catch (IOException e) {
            return "unix (" + e.getMessage() + ")";
        }
        SocketAddress address = channel.remoteAddress();
        if (address instanceof InetSocketAddress inet && inet.getAddress() != null) {
            return hostAndPort(inet.getAddress().getHostAddress(), inet.getPort());
        }
        return String.valueOf(address);
    }

    /** Writes a host and a port, with brackets around an IPv6 address. */
    public static String hostAndPort(String host, int port) {
        return (host.indexOf(':') >= 0 ? "[" + host + "]" : host) + ":" + port;
    }

    private static String process(PeerCredentials credentials) {
        return "pid " + credentials.pid() + " uid " + credentials.uid();
    }
}

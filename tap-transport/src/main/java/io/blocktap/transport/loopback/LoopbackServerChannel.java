package io.blocktap.transport.loopback;

import io.blocktap.transport.DoorbellChannel;
import io.blocktap.transport.FdPoll;
import io.blocktap.transport.LogLimiter;
import io.blocktap.transport.TapChannelOption;
import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.DirectoryLock;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.NativeException;
import io.blocktap.transport.sys.SeqPacketSocket;
import io.netty.channel.ChannelConfig;
import io.netty.channel.ChannelOption;
import io.netty.channel.ChannelPromise;
import io.netty.channel.DefaultChannelConfig;
import io.netty.channel.ServerChannel;
import io.netty.util.concurrent.Future;
import java.io.IOException;
import java.net.SocketAddress;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Accepts loopback frontends: {@code new ServerBootstrap().channel(LoopbackServerChannel.class).bind(new LoopbackAddress(path))}.
 *
 * <p>It fires a {@link LoopbackTapChannel} for each frontend that has said HELLO; the child's initializer then calls {@link
 * LoopbackTapChannel#welcome} or {@link LoopbackTapChannel#refuse}. Hand-shakes are bounded in number and time. The socket's file has mode 0600; one
 * that a dead server left behind is replaced, one that a living server listens on is not.
 */
public final class LoopbackServerChannel extends DoorbellChannel implements ServerChannel {
    private static final Logger LOG = LoggerFactory.getLogger(LoopbackServerChannel.class);
    private static final int MAX_HANDSHAKES = 64;
    private static final int ACCEPTS_PER_TURN = 64;
    private static final int ACCEPT_RETRY_MILLIS = 1000;
    private static final int MAX_DRAINED = 8;

    private static final int S_IFMT = 0170000;
    private static final int S_IFSOCK = 0140000;

    private final LogLimiter acceptFailures = new LogLimiter(TimeUnit.MINUTES.toNanos(1));
    private final Set<Pending> handshakes = new HashSet<>();
    private boolean isRetryScheduled;
    private final AtomicInteger sessions = new AtomicInteger(); // counted down by the children's loops
    private @Nullable SeqPacketSocket socket;
    private @Nullable LoopbackAddress address;
    private @Nullable Object socketFile;

    /** Makes an unbound channel; a bootstrap does so. */
    public LoopbackServerChannel() {
        super(null);
    }

    @Override
    protected ChannelConfig newConfig() {
        return new Config(this);
    }

    private Config options() {
        return (Config) config();
    }

    @Override
    protected void doRegister(ChannelPromise promise) {
        promise.setSuccess(); // the doorbell is the listening socket, which comes with bind
    }

    @Override
    protected void doBind(SocketAddress localAddress) throws Exception {
        if (!(localAddress instanceof LoopbackAddress loopback)) {
            throw new TapException("a loopback tap binds to a LoopbackAddress, not to " + localAddress);
        }
        SeqPacketSocket listening;
        Path file = Path.of(loopback.path()).toAbsolutePath();
        DirectoryLock lock = DirectoryLock.ofFile(file);
        try {
            removeStale(loopback.path());
            listening = SeqPacketSocket.listenOn(loopback.path());
        } finally {
            lock.close();
        }
        try {
            Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
            socketFile = identity(file);
        } catch (IOException e) {
            listening.close();
            Files.deleteIfExists(file);
            throw e;
        }
        socket = listening;
        address = loopback;
        setActive(true);
        watch(listening.fd()).addListener((Future<Object> future) -> {
            if (!future.isSuccess()) {
                pipeline().fireExceptionCaught(future.cause());
                close();
            }
        });
    }

    private static Object identity(Path file) throws IOException {
        return Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                .fileKey();
    }

    private static void removeStale(String path) throws IOException {
        Path file = Path.of(path);
        if (!Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        // connect(2) refuses a regular file as it refuses a socket that nobody listens on; only the latter may be
        // removed.
        int mode = (Integer) Files.getAttribute(file, "unix:mode", LinkOption.NOFOLLOW_LINKS);
        if ((mode & S_IFMT) != S_IFSOCK) {
            throw new TapException(path + " exists and is no socket; remove it or choose another path");
        }
        try {
            SeqPacketSocket.connectTo(path).close();
            throw new TapException(path + ": another server listens there; stop it or choose another path");
        } catch (NativeException e) {
            if (e.errno() != Errno.ECONNREFUSED) {
                throw new TapException(
                        path + ": another server may listen there (" + Errno.describe(e.errno())
                                + "); stop it or choose another path",
                        e);
            }
        }
        Files.deleteIfExists(file);
    }

    // ---- accepting

    @Override
    protected boolean takeAll() {
        SeqPacketSocket listening = socket;
        if (listening == null) {
            return false;
        }
        try {
            for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
                SeqPacketSocket accepted = listening.accept();
                if (accepted == null) {
                    return false;
                }
                begin(accepted);
            }
            return true;
        } catch (NativeException e) {
            // Out of descriptors, most likely. The edge will not come again, so look again later.
            long times = acceptFailures.count();
            if (times > 0) {
                LOG.warn(
                        "{}: no frontend can be accepted: {} ({} times); tried every second; does the process need more"
                                + " descriptors (ulimit -n)?",
                        address,
                        e.getMessage(),
                        times);
            }
            retryLater();
            return false;
        }
    }

    /** One retry at a time, however many knock meanwhile. */
    private void retryLater() {
        if (!isRetryScheduled) {
            isRetryScheduled = true;
            eventLoop()
                    .schedule(
                            () -> {
                                isRetryScheduled = false;
                                lookNow();
                            },
                            ACCEPT_RETRY_MILLIS,
                            TimeUnit.MILLISECONDS);
        }
    }

    private void begin(SeqPacketSocket accepted) {
        try {
            int uid = accepted.peerUid();
            if (uid != 0 && uid != ownUid()) {
                refuse(accepted, "user " + uid + " may not use this tap; only its own user and root may");
            } else if (sessions.get() >= options().maxSessions) {
                refuse(accepted, "too many frontends: " + sessions + " of " + options().maxSessions);
            } else if (handshakes.size() >= MAX_HANDSHAKES) {
                refuse(accepted, "too many hand-shakes at a time: " + MAX_HANDSHAKES + "; try again");
            } else {
                awaitHello(accepted);
            }
        } catch (IOException e) {
            LOG.warn("{}: a frontend was dropped: {}", address, e.getMessage());
            accepted.close();
        }
    }

    private static int ownUid() throws IOException {
        return (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:uid");
    }

    private void awaitHello(SeqPacketSocket accepted) {
        Pending pending = new Pending(accepted);
        handshakes.add(pending);
        FdPoll.attach(eventLoop(), accepted.fd(), FdPoll.IN | FdPoll.RDHUP, events -> pending.ready())
                .addListener((Future<FdPoll> future) -> pending.attached(future));
    }

    private void refuse(SeqPacketSocket accepted, String reason) {
        LOG.warn("{}: refused a frontend: {}", address, reason);
        try {
            accepted.send(Handshake.refused(reason));
            drain(accepted);
        } catch (NativeException e) {
            LOG.debug("the refused frontend did not wait for the reason: {}", e.getMessage());
        }
        accepted.close();
    }

    /** Takes what lies unread: closed with that, the socket would tell the peer "connection reset" before the reason. */
    private static void drain(SeqPacketSocket accepted) throws NativeException {
        for (int i = 0; i < MAX_DRAINED; i++) {
            SeqPacketSocket.Packet packet = accepted.receive();
            if (packet == null) {
                return;
            }
            packet.fds().forEach(Fd::close);
        }
    }

    /** A frontend that has not said HELLO yet. */
    private final class Pending {
        private final SeqPacketSocket accepted;
        private final Future<?> timeout;
        private @Nullable FdPoll poll;
        private boolean done;
        private boolean handedOver;

        Pending(SeqPacketSocket accepted) {
            this.accepted = accepted;
            this.timeout =
                    eventLoop().schedule(this::timedOut, options().handshakeTimeoutMillis, TimeUnit.MILLISECONDS);
        }

        void attached(Future<FdPoll> future) {
            if (!future.isSuccess()) {
                LOG.warn(
                        "{}: a frontend was dropped: {}",
                        address,
                        future.cause().getMessage());
                drop();
            } else if (done) {
                future.getNow().detach();
                if (!handedOver) {
                    accepted.close();
                }
            } else {
                poll = future.getNow();
                ready(); // what came before
            }
        }

        void ready() {
            if (done || poll == null) {
                return;
            }
            try {
                SeqPacketSocket.Packet packet = accepted.receive();
                if (packet == null) {
                    return;
                }
                packet.fds().forEach(Fd::close);
                if (packet.data().limit() == 0) {
                    drop();
                    return;
                }
                Handshake.Hello hello = Handshake.parseHello(packet.data());
                finish();
                handedOver = true;
                accept(accepted, hello);
            } catch (TapException e) {
                finish();
                refuse(accepted, "bad hand-shake: " + e.getMessage());
            } catch (NativeException e) {
                LOG.debug("{}: a frontend went away: {}", address, e.getMessage());
                drop();
            }
        }

        void timedOut() {
            if (!done) {
                finish();
                refuse(accepted, "no HELLO within " + options().handshakeTimeoutMillis + " ms");
            }
        }

        void drop() {
            finish();
            accepted.close();
        }

        private void finish() {
            done = true;
            timeout.cancel(false);
            handshakes.remove(this);
            FdPoll current = poll;
            if (current != null) {
                current.detach();
            }
        }
    }

    private void accept(SeqPacketSocket accepted, Handshake.Hello hello) {
        LoopbackTapChannel child;
        try {
            child = LoopbackTapChannel.create(this, accepted, hello);
        } catch (IOException e) {
            refuse(accepted, "no memory for the ring: " + e.getMessage());
            return;
        }
        sessions.incrementAndGet();
        child.closeFuture().addListener(future -> sessions.decrementAndGet());
        pipeline().fireChannelRead(child);
        pipeline().fireChannelReadComplete();
    }

    // ---- the rest of a channel

    @Override
    protected void doClose() throws Exception {
        super.doClose();
        List.copyOf(handshakes).forEach(Pending::drop);
        SeqPacketSocket listening = socket;
        LoopbackAddress bound = address;
        socket = null;
        if (listening != null && bound != null) {
            // Somebody may have removed our file, and another server made its own. Ours goes before it looks dead: then
            // no other
            // server has a reason to replace it between the look and the removal.
            Path file = Path.of(bound.path());
            try {
                if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)
                        && identity(file).equals(socketFile)) {
                    Files.deleteIfExists(file);
                }
            } finally {
                listening.close();
            }
        }
    }

    @Override
    @SuppressWarnings("NullAway") // null before bind, as the contract of Channel allows
    protected SocketAddress localAddress0() {
        return address;
    }

    @Override
    @SuppressWarnings("NullAway")
    protected SocketAddress remoteAddress0() {
        return null;
    }

    /** The two options of {@link TapChannelOption}. */
    private static final class Config extends DefaultChannelConfig {
        private volatile int maxSessions = 256;
        private volatile int handshakeTimeoutMillis = 10_000;

        Config(LoopbackServerChannel channel) {
            super(channel);
        }

        @Override
        public Map<ChannelOption<?>, Object> getOptions() {
            return getOptions(
                    super.getOptions(), TapChannelOption.MAX_SESSIONS, TapChannelOption.HANDSHAKE_TIMEOUT_MILLIS);
        }

        @Override
        @SuppressWarnings("unchecked")
        public <T> T getOption(ChannelOption<T> option) {
            if (option == TapChannelOption.MAX_SESSIONS) {
                return (T) Integer.valueOf(maxSessions);
            }
            if (option == TapChannelOption.HANDSHAKE_TIMEOUT_MILLIS) {
                return (T) Integer.valueOf(handshakeTimeoutMillis);
            }
            return super.getOption(option);
        }

        @Override
        public <T> boolean setOption(ChannelOption<T> option, T value) {
            validate(option, value);
            if (option == TapChannelOption.MAX_SESSIONS) {
                maxSessions = (Integer) value;
                return true;
            }
            if (option == TapChannelOption.HANDSHAKE_TIMEOUT_MILLIS) {
                handshakeTimeoutMillis = (Integer) value;
                return true;
            }
            return super.setOption(option, value);
        }
    }
}

package io.blocktap.transport.xen.store;

import io.blocktap.transport.FdPoll;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.netty.buffer.ByteBuf;
import io.netty.channel.AbstractChannel;
import io.netty.channel.ChannelConfig;
import io.netty.channel.ChannelMetadata;
import io.netty.channel.ChannelOutboundBuffer;
import io.netty.channel.ChannelPromise;
import io.netty.channel.DefaultChannelConfig;
import io.netty.channel.EventLoop;
import io.netty.handler.codec.UnsupportedMessageTypeException;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.netty.util.concurrent.Future;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The device {@code /dev/xen/xenbus} as a Netty channel: bytes in, one message a {@code write(2)} out.
 *
 * <p>What is peculiar to it ({@code drivers/xen/xenbus/xenbus_dev_frontend.c}):
 *
 * <ul>
 *   <li>Whatever stands behind the first complete message of a write is dropped; so each outbound buffer must be one message, and is written by itself.
 *   <li>The next message must wait for the reply to the one before, see {@link XenStoreEndpoint#maxOutstanding}; this is left to who writes.
 *   <li>A message that the kernel refuses makes {@code write} fail; the write's future tells that, and the channel goes on.
 *   <li>WATCH and UNWATCH are done by the kernel, inside {@code write}, which waits for xenstored, and UNWATCH for other users' watch callbacks as well. They
 *       are written by a thread of their own that lives only while it is needed, and the messages behind them wait for it. It closes the descriptor, too, if it
 *       ever wrote.
 * </ul>
 *
 * <p>Ownership: closes the descriptor. Threads: the channel's event loop, but for that one thread, which alone uses the output buffer while {@code writing}.
 */
final class XenBusChannel extends AbstractChannel {
    private static final ChannelMetadata METADATA = new ChannelMetadata(false);
    private static final int BUFFER_BYTES = Libc.PAGE_BYTES;
    private static final int READS_PER_TURN = 16;
    private static final int WRITER_KEEP_ALIVE_SECONDS = 10;

    private final ChannelConfig config = new DefaultChannelConfig(this);
    private final Fd fd;
    private final ByteBuffer input = buffer();
    private final ByteBuffer output = buffer();
    private final long inputAddress = Libc.addressOf(input);
    private final long outputAddress = Libc.addressOf(output);
    private final Runnable drainTask = this::drain;
    private @Nullable FdPoll poll;
    private @Nullable ThreadPoolExecutor writer;
    private boolean writing;
    private boolean readable;
    private boolean readAllowed;
    private boolean draining;
    private volatile boolean open = true;
    private volatile boolean active;

    /**
     * Makes an unregistered channel.
     *
     * @param fd the device, opened with O_NONBLOCK; the channel's from now on
     */
    XenBusChannel(Fd fd) {
        super(null);
        this.fd = fd;
    }

    private static ByteBuffer buffer() {
        return ByteBuffer.allocateDirect(BUFFER_BYTES).order(ByteOrder.nativeOrder());
    }

    @Override
    protected void doRegister(ChannelPromise promise) {
        FdPoll.attach(eventLoop(), fd, FdPoll.IN, events -> ready(), this::closeBecauseLoopEnds)
                .addListener((Future<FdPoll> future) -> {
                    if (!future.isSuccess()) {
                        promise.setFailure(future.cause());
                        return;
                    }
                    poll = future.getNow();
                    active = open;
                    if (!open) {
                        poll.detach();
                    }
                    promise.setSuccess();
                });
    }

    private void closeBecauseLoopEnds() {
        unsafe().close(voidPromise());
    }

    // ---- reading

    private void ready() {
        readable = true;
        drain();
    }

    private boolean mayRead() {
        return active && readable && (readAllowed || config.isAutoRead());
    }

    @Override
    protected void doBeginRead() {
        readAllowed = !config.isAutoRead();
        if (readable && !draining) {
            eventLoop().execute(drainTask);
        }
    }

    private void drain() {
        if (draining || !mayRead()) {
            return;
        }
        draining = true;
        boolean any = false;
        try {
            for (int i = 0; i < READS_PER_TURN && mayRead(); i++) {
                long result = Libc.readBytes(fd, inputAddress, BUFFER_BYTES);
                if (result > 0) {
                    any = true;
                    readAllowed = false;
                    pipeline()
                            .fireChannelRead(alloc().buffer((int) result)
                                    .writeBytes(input.clear().limit((int) result)));
                } else if (result == -Errno.EAGAIN) {
                    readable = false; // the edge comes again
                } else if (result != -Errno.EINTR) {
                    endOfInput((int) -result);
                }
            }
        } finally {
            draining = false;
        }
        if (any) {
            pipeline().fireChannelReadComplete();
        }
        if (mayRead()) {
            eventLoop().execute(drainTask);
        }
    }

    private void endOfInput(int errno) {
        readable = false;
        if (errno != 0) {
            pipeline().fireExceptionCaught(new NativeException("read", fd.toString(), errno));
        }
        close();
    }

    // ---- writing

    @Override
    protected Object filterOutboundMessage(Object message) {
        if (message instanceof ByteBuf buf
                && buf.readableBytes() >= XsWire.HEADER_BYTES
                && buf.readableBytes() <= BUFFER_BYTES) {
            return message;
        }
        throw new UnsupportedMessageTypeException(message, ByteBuf.class);
    }

    @Override
    protected void doWrite(ChannelOutboundBuffer in) {
        while (!writing && in.current() instanceof ByteBuf message) {
            int lengthBytes = message.readableBytes();
            int type = XsWire.type(message, message.readerIndex());
            message.getBytes(message.readerIndex(), output.clear().limit(lengthBytes));
            if (type == XsWire.XS_WATCH || type == XsWire.XS_UNWATCH) {
                writing = true;
                writer().execute(() -> writeAndTell(lengthBytes));
            } else {
                remove(in, writeOutput(lengthBytes));
            }
        }
    }

    /** Writes what lies in the output buffer. Returns 0 or the errno. */
    private int writeOutput(int lengthBytes) {
        int done = 0;
        while (done < lengthBytes) {
            long result = Libc.writeBytes(fd, outputAddress + done, lengthBytes - done);
            if (result > 0) {
                done += (int) result; // a message may come in several writes
            } else if (result != -Errno.EINTR) {
                return result == 0 ? Errno.EIO : (int) -result;
            }
        }
        return 0;
    }

    private void remove(ChannelOutboundBuffer in, int errno) {
        if (errno == 0) {
            in.remove();
        } else {
            in.remove(new NativeException("write", fd.toString(), errno));
        }
    }

    private ThreadPoolExecutor writer() {
        ThreadPoolExecutor current = writer;
        if (current == null) {
            current = new ThreadPoolExecutor(
                    1,
                    1,
                    WRITER_KEEP_ALIVE_SECONDS,
                    TimeUnit.SECONDS,
                    new LinkedBlockingQueue<>(),
                    new DefaultThreadFactory("xenbus-watch", true));
            current.allowCoreThreadTimeOut(true);
            writer = current;
        }
        return current;
    }

    /** On the writer's thread. */
    private void writeAndTell(int lengthBytes) {
        int errno = writeOutput(lengthBytes);
        try {
            eventLoop().execute(() -> written(errno));
        } catch (RejectedExecutionException e) {
            return; // the loop has ended, and with it the channel
        }
    }

    private void written(int errno) {
        writing = false;
        ChannelOutboundBuffer in = unsafe().outboundBuffer();
        if (in != null) {
            remove(in, errno);
            unsafe().flush();
        }
    }

    // ---- the rest of a channel

    @Override
    protected void doClose() {
        open = false;
        active = false;
        FdPoll current = poll;
        poll = null;
        if (current != null) {
            current.detach();
        }
        ThreadPoolExecutor its = writer;
        if (its == null) {
            fd.close();
        } else {
            its.execute(fd::close); // after the write that it may be in
            its.shutdown();
        }
    }

    @Override
    protected void doDisconnect() {
        doClose();
    }

    @Override
    protected boolean isCompatible(EventLoop loop) {
        return FdPoll.isCompatible(loop);
    }

    @Override
    protected void doBind(SocketAddress localAddress) {
        throw new UnsupportedOperationException("bind");
    }

    @Override
    public ChannelConfig config() {
        return config;
    }

    @Override
    public boolean isOpen() {
        return open;
    }

    @Override
    public boolean isActive() {
        return open && active;
    }

    @Override
    public ChannelMetadata metadata() {
        return METADATA;
    }

    @Override
    @SuppressWarnings("NullAway") // a device has no address, as the contract of Channel allows
    protected SocketAddress localAddress0() {
        return null;
    }

    @Override
    @SuppressWarnings("NullAway")
    protected SocketAddress remoteAddress0() {
        return null;
    }

    @Override
    protected AbstractUnsafe newUnsafe() {
        return new OpenedUnsafe();
    }

    /** Connected when it is made. */
    private final class OpenedUnsafe extends AbstractUnsafe {
        @Override
        public void connect(SocketAddress remoteAddress, SocketAddress localAddress, ChannelPromise promise) {
            promise.setFailure(new UnsupportedOperationException("connected already"));
        }
    }
}

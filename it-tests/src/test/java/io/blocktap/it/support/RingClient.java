package io.blocktap.it.support;

import io.blocktap.transport.loopback.LoopbackAddress;
import io.blocktap.transport.loopback.LoopbackFrontend;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** A frontend of a loopback ring that waits for its answers. */
public final class RingClient implements AutoCloseable {
    private static final int LIMIT_SECONDS = 20;

    private final MultiThreadIoEventLoopGroup group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
    private final LoopbackFrontend disk;

    private RingClient(Path socket, LoopbackFrontend.Options options) {
        disk = connect(group, socket, options);
    }

    /** Connects to the default disk. */
    public static RingClient open(Path socket) {
        return open(socket, LoopbackFrontend.Options.DEFAULT);
    }

    /** Connects to the default disk. */
    public static RingClient open(Path socket, LoopbackFrontend.Options options) {
        return new RingClient(socket, options);
    }

    /** Connects on a loop that is there already; the caller closes the frontend. */
    public static LoopbackFrontend connect(
            MultiThreadIoEventLoopGroup group, Path socket, LoopbackFrontend.Options options) {
        return join(LoopbackFrontend.connect(group, new LoopbackAddress(socket.toString()), options));
    }

    /** Waits for an answer. */
    public static <T> T join(CompletableFuture<T> answer) {
        try {
            return answer.get(LIMIT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            throw new AssertionError(e.getCause());
        } catch (TimeoutException | InterruptedException e) {
            throw new AssertionError("no answer within " + LIMIT_SECONDS + " s", e);
        }
    }

    /** Returns the frontend. */
    public LoopbackFrontend disk() {
        return disk;
    }

    /** Returns the size of the disk. */
    public long sizeBytes() {
        return disk.geometry().capacitySectors() * 512;
    }

    /** Reads. */
    public byte[] read(long offset, int length) {
        ByteBuf target = Unpooled.buffer(length, length);
        join(disk.read(offset, target));
        return target.array();
    }

    /** Writes. */
    public void write(long offset, byte[] data) {
        join(disk.write(offset, Unpooled.wrappedBuffer(data)));
    }

    @Override
    public void close() {
        disk.close();
        group.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly(5, TimeUnit.SECONDS);
    }
}

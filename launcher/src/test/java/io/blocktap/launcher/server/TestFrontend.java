package io.blocktap.launcher.server;

import io.blocktap.transport.loopback.LoopbackAddress;
import io.blocktap.transport.loopback.LoopbackFrontend;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.EventLoopGroup;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** A block client on an event loop of its own, for tests that look at a few bytes. */
public final class TestFrontend implements AutoCloseable {
    private final EventLoopGroup group;
    private final LoopbackFrontend frontend;

    private TestFrontend(EventLoopGroup group, LoopbackFrontend frontend) {
        this.group = group;
        this.frontend = frontend;
    }

    /** Connects to a disk of a loopback tap. */
    public static TestFrontend connect(Path socket, String disk) throws Exception {
        EventLoopGroup group = EventLoops.create(EventLoopKind.EPOLL, 1);
        LoopbackAddress address = new LoopbackAddress(socket.toString(), disk);
        return new TestFrontend(group, LoopbackFrontend.connect(group, address).get(10, TimeUnit.SECONDS));
    }

    /** Returns the client. */
    public LoopbackFrontend disk() {
        return frontend;
    }

    /** Reads, and waits for it. */
    public byte[] read(long offset, int length) throws Exception {
        ByteBuf buffer = Unpooled.buffer(length, length);
        frontend.read(offset, buffer).get(10, TimeUnit.SECONDS);
        return ByteBufUtil.getBytes(buffer);
    }

    /** Starts a write. */
    public CompletableFuture<Void> write(long offset, byte[] data) {
        return frontend.write(offset, Unpooled.wrappedBuffer(data));
    }

    @Override
    public void close() {
        frontend.close();
        group.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly(5, TimeUnit.SECONDS);
    }
}

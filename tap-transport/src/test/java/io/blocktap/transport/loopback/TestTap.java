package io.blocktap.transport.loopback;

import static org.awaitility.Awaitility.await;

import io.blocktap.transport.LoopKind;
import io.blocktap.transport.frontend.FrontGeometry;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoopGroup;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

/** A loopback tap over RAM, with loops of its own. */
final class TestTap implements AutoCloseable {
    static final int SIZE_BYTES = 4 << 20;

    final EventLoopGroup group;
    final LoopbackAddress address;
    final ByteBuf content = Unpooled.buffer(SIZE_BYTES, SIZE_BYTES);
    final List<LoopbackTapChannel> channels = new CopyOnWriteArrayList<>();
    final List<RamDisk> disks = new CopyOnWriteArrayList<>();

    volatile FrontGeometry geometry =
            new FrontGeometry(SIZE_BYTES / 512, 512, 4096, FrontGeometry.FLUSH | FrontGeometry.DISCARD, 0, 0);
    volatile Consumer<RamDisk> onDisk = disk -> {};
    private Channel server;

    TestTap(LoopKind kind, Path socket) {
        this.group = kind.newGroup(2);
        this.address = new LoopbackAddress(socket.toString());
    }

    /** Returns a bootstrap that can be changed before it is bound. */
    ServerBootstrap bootstrap() {
        return new ServerBootstrap()
                .group(group)
                .channel(LoopbackServerChannel.class)
                .childHandler(new ChannelInitializer<LoopbackTapChannel>() {
                    @Override
                    protected void initChannel(LoopbackTapChannel channel) {
                        channel.pipeline().addLast(new Welcome());
                    }
                });
    }

    private final class Welcome extends ChannelInboundHandlerAdapter {
        @Override
        public void channelActive(ChannelHandlerContext ctx) {
            LoopbackTapChannel channel = (LoopbackTapChannel) ctx.channel();
            if (channel.diskName().startsWith("no")) {
                channel.refuse("there is no disk '" + channel.diskName() + "'");
                return;
            }
            RamDisk disk = new RamDisk(content);
            onDisk.accept(disk);
            ctx.pipeline().addLast(disk).remove(this);
            disks.add(disk);
            channels.add(channel);
            channel.welcome(geometry);
            ctx.fireChannelActive();
        }
    }

    TestTap bind() {
        return bind(bootstrap());
    }

    TestTap bind(ServerBootstrap bootstrap) {
        server = bootstrap.bind(address).syncUninterruptibly().channel();
        return this;
    }

    Channel server() {
        return server;
    }

    /** Connects with a loop of the tap's group. */
    LoopbackFrontend connect() {
        return connect(LoopbackFrontend.Options.DEFAULT);
    }

    LoopbackFrontend connect(LoopbackFrontend.Options options) {
        return LoopbackFrontend.connect(group, address, options).join();
    }

    /** Waits until this many frontends have been welcomed, and returns the last one's channel. */
    LoopbackTapChannel awaitChannel(int count) {
        await().pollDelay(Duration.ZERO).pollInterval(Duration.ofMillis(1)).until(() -> channels.size() >= count);
        return channels.get(count - 1);
    }

    @Override
    public void close() {
        if (server != null) {
            server.close().awaitUninterruptibly();
        }
        LoopKind.end(group);
    }
}

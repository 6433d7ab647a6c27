package io.blocktap.transport.loopback;

import io.blocktap.transport.ring.BlkifLayout;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.util.Random;

/** A frontend in a process of its own: {@code SOCKET verify SEED} writes, reads back, ends; {@code SOCKET hammer} never ends. */
public final class OtherProcess {
    private OtherProcess() {}

    /** Runs it. */
    public static void main(String[] arguments) {
        EventLoopGroup group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
        LoopbackFrontend disk = LoopbackFrontend.connect(
                        group,
                        new LoopbackAddress(arguments[0]),
                        new LoopbackFrontend.Options(BlkifLayout.X86_64, 2, 32, 16384))
                .join();
        System.out.println("connected");
        byte[] bytes = new byte[1 << 20];
        if (arguments[1].equals("verify")) {
            new Random(Long.parseLong(arguments[2])).nextBytes(bytes);
            ByteBuf data = Unpooled.wrappedBuffer(bytes);
            ByteBuf back = Unpooled.buffer(bytes.length, bytes.length);
            disk.write(4096, data).join();
            disk.flush().join();
            disk.read(4096, back).join();
            if (!back.equals(data)) {
                throw new AssertionError("read something else");
            }
            System.out.println("verified");
            disk.close();
            group.shutdownGracefully();
        } else {
            while (true) {
                disk.write(0, Unpooled.wrappedBuffer(bytes)).join();
            }
        }
    }
}

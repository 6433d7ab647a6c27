package io.blocktap.transport.xen.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.transport.LoopKind;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.NativeException;
import io.blocktap.transport.sys.SeqPacketSocket;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.handler.codec.UnsupportedMessageTypeException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** A packet socket stands for the device: each write becomes one packet, whose end can be seen. */
@ParameterizedClass
@EnumSource
@Timeout(60)
class XenBusChannelTest {
    private final LoopKind kind;
    private final List<XsMessage> received = new CopyOnWriteArrayList<>();
    private final List<Throwable> caught = new CopyOnWriteArrayList<>();
    private EventLoopGroup group;
    private SeqPacketSocket server;
    private XenBusChannel channel;

    @TempDir
    private Path folder;

    XenBusChannelTest(LoopKind kind) {
        this.kind = kind;
    }

    @BeforeEach
    void start() throws Exception {
        group = kind.newGroup(1);
        String path = folder.resolve("s").toString();
        try (SeqPacketSocket listening = SeqPacketSocket.listenOn(path)) {
            SeqPacketSocket client = SeqPacketSocket.connectTo(path);
            server = listening.accept();
            channel = new XenBusChannel(client.fd());
        }
        channel.pipeline().addLast(new XsDecoder(), XsEncoder.INSTANCE, new SimpleChannelInboundHandler<XsMessage>() {
            @Override
            protected void channelRead0(ChannelHandlerContext ctx, XsMessage message) {
                received.add(message);
            }

            @Override
            public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
                caught.add(cause);
            }
        });
        group.register(channel).sync();
    }

    @AfterEach
    void stop() {
        channel.close().syncUninterruptibly();
        server.close();
        LoopKind.end(group);
    }

    private static XsMessage message(int type, int reqId) {
        return new XsMessage(type, reqId, 0, XsRequest.strings("/a/" + reqId));
    }

    private ByteBuffer takePacket() throws Exception {
        SeqPacketSocket.Packet[] packet = new SeqPacketSocket.Packet[1];
        await().until(() -> (packet[0] = server.receive()) != null);
        return packet[0].data();
    }

    @Test
    void eachMessageIsOneWriteAndWatchesKeepTheOrder() throws Exception {
        int[] types = {
            XsWire.XS_READ,
            XsWire.XS_WATCH,
            XsWire.XS_READ,
            XsWire.XS_READ,
            XsWire.XS_UNWATCH,
            XsWire.XS_WATCH,
            XsWire.XS_RM
        };
        List<ChannelFuture> writes = new ArrayList<>();
        for (int i = 0; i < types.length; i++) {
            writes.add(channel.write(message(types[i], i)));
        }
        channel.flush();

        for (int i = 0; i < types.length; i++) {
            ByteBuffer packet = takePacket().order(ByteOrder.nativeOrder());
            assertThat(packet.getInt(0)).isEqualTo(types[i]);
            assertThat(packet.getInt(4)).isEqualTo(i);
            assertThat(packet.limit()).isEqualTo(16 + packet.getInt(12));
            writes.get(i).sync();
        }
    }

    @Test
    void readsAllThereIsHoweverItIsCut() throws Exception {
        int count = 100;
        for (int i = 0; i < count; i++) {
            byte[] bytes = ByteBuffer.allocate(20)
                    .order(ByteOrder.nativeOrder())
                    .putInt(XsWire.XS_READ)
                    .putInt(i)
                    .putInt(0)
                    .putInt(4)
                    .array();
            server.send(ByteBuffer.wrap(bytes, 0, 16).slice());
            server.send(ByteBuffer.wrap(bytes, 16, 4).slice());
            int expected = i + 1;
            if (i % 10 == 0) {
                await().until(() -> received.size() == expected);
            }
        }

        await().until(() -> received.size() == count);
        assertThat(received).extracting(XsMessage::reqId).isSorted();
    }

    @Test
    void readsOnlyWhenAsked() throws Exception {
        channel.config().setAutoRead(false);
        ByteBuffer message = ByteBuffer.allocate(16).order(ByteOrder.nativeOrder());
        server.send(message.duplicate());
        server.send(message.duplicate());
        channel.eventLoop().submit(() -> {}).sync();

        int before = received.size(); // auto-read may have allowed one in advance
        assertThat(before).isLessThan(2);
        channel.read();
        await().until(() -> received.size() == before + 1);
        channel.config().setAutoRead(true);
        await().until(() -> received.size() == 2);
    }

    @Test
    void refusedWriteFailsThatMessageOnly() throws Exception {
        // Closed by the other side: a write is refused, as the kernel refuses a message.
        channel.config().setAutoRead(false);
        server.close();

        for (int type : new int[] {XsWire.XS_READ, XsWire.XS_WATCH}) {
            ChannelFuture write = channel.writeAndFlush(message(type, 1)).await();
            assertThat(write.cause()).isInstanceOfSatisfying(NativeException.class, refused -> {
                assertThat(refused.errno()).isEqualTo(Errno.EPIPE);
            });
        }
        assertThat(caught).isEmpty();
    }

    @Test
    void endOfInputClosesChannel() {
        server.close();

        channel.closeFuture().awaitUninterruptibly();
        assertThat(channel.isActive()).isFalse();
    }

    @Test
    void takesNothingButMessages() throws Exception {
        assertThat(channel.writeAndFlush("text").await().cause()).isInstanceOf(UnsupportedMessageTypeException.class);
        assertThat(channel.writeAndFlush(channel.alloc().buffer().writeZero(15))
                        .await()
                        .cause())
                .isInstanceOf(UnsupportedMessageTypeException.class);
        assertThat(channel.writeAndFlush(channel.alloc().buffer().writeZero(4097))
                        .await()
                        .cause())
                .isInstanceOf(UnsupportedMessageTypeException.class);
    }

    @Test
    void descriptorIsClosedAfterTheWatchThread() throws Exception {
        channel.writeAndFlush(message(XsWire.XS_WATCH, 1)).sync();
        takePacket();

        channel.close().sync();

        // An empty packet is the end.
        assertThat(takePacket().limit()).isZero();
    }
}

package io.blocktap.transport.xen.store;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.NativeException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.util.ReferenceCountUtil;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What is peculiar to the device, without the device. */
class XsConnectionTest {
    private final EmbeddedChannel channel = new EmbeddedChannel();
    private final List<XsRequest> requests = new ArrayList<>();
    private final XsConnection connection = new XsConnection(
            XenStoreEndpoint.device(Path.of("/dev/xen/xenbus")), XenStoreConfig.DEFAULT, new XsConnection.Owner() {
                @Override
                public void watchFired(String path, String token) {}

                @Override
                public void readComplete() {}
            });

    XsConnectionTest() {
        channel.pipeline().addLast(connection.initializer());
    }

    @AfterEach
    void stop() {
        channel.finishAndReleaseAll();
    }

    private XsRequest submit(int type) {
        XsRequest request = new XsRequest(channel.eventLoop(), type, 0, "/a", XsRequest.strings("/a"));
        requests.add(request);
        connection.submit(request);
        channel.runPendingTasks();
        return request;
    }

    private List<Integer> sentTypes() {
        List<Integer> types = new ArrayList<>();
        for (ByteBuf each = channel.readOutbound(); each != null; each = channel.readOutbound()) {
            types.add(XsWire.type(each, 0));
            each.release();
        }
        return types;
    }

    private void arrives(int type, int reqId, String text) {
        ByteBuf bytes = Unpooled.buffer();
        XsWire.write(bytes, new XsMessage(type, reqId, 0, XsRequest.strings(text)));
        channel.writeInbound(bytes);
    }

    @Test
    void deviceHasOneRequestOnItsWay() {
        XsRequest first = submit(XsWire.XS_WRITE);
        XsRequest second = submit(XsWire.XS_READ);
        assertThat(sentTypes()).containsExactly(XsWire.XS_WRITE);

        arrives(XsWire.XS_WRITE, 1, "OK");

        assertThat(first.reply).isCompleted();
        assertThat(second.reply).isNotDone();
        assertThat(sentTypes()).containsExactly(XsWire.XS_READ);
    }

    @Test
    void replyWithoutNumberIsForTheRequestOfItsType() {
        XsRequest watch = submit(XsWire.XS_WATCH);

        arrives(XsWire.XS_WATCH, 0, "OK");

        assertThat(watch.reply).isCompleted();
    }

    @Test
    void errorWithoutNumberIsForTheOldestRequest() {
        XsRequest watch = submit(XsWire.XS_WATCH);

        arrives(XsWire.XS_ERROR, 0, "EACCES");

        assertThat(watch.reply)
                .failsWithin(Duration.ZERO)
                .withThrowableOfType(Exception.class)
                .withMessageContaining("WATCH /a: EACCES");
    }

    @Test
    void replyWithoutNumberThatNobodyWaitsForEndsConnection() {
        XsRequest read = submit(XsWire.XS_READ);

        arrives(XsWire.XS_WATCH, 0, "OK");
        connection.failAll();

        assertThat(channel.isOpen()).isFalse();
        assertThat(connection.closed())
                .isInstanceOf(TapException.class)
                .hasMessageStartingWith("a reply to no request");
        assertThat(read.reply).isCompletedExceptionally();
    }

    @Test
    void errnoOfWriteIsTheRefusalOfThatRequest() {
        channel.pipeline().addFirst(new ChannelOutboundHandlerAdapter() {
            @Override
            public void write(ChannelHandlerContext ctx, Object message, ChannelPromise promise) {
                ReferenceCountUtil.release(message);
                ctx.pipeline().remove(this);
                promise.setFailure(new NativeException("write", "fd 3", Errno.ENOENT));
            }
        });
        XsRequest refused = submit(XsWire.XS_UNWATCH);
        XsRequest next = submit(XsWire.XS_READ);

        assertThat(refused.reply.handle((ok, failure) -> XenStoreException.is(failure, "ENOENT")))
                .isCompletedWithValue(true);
        assertThat(sentTypes()).containsExactly(XsWire.XS_READ);
        arrives(XsWire.XS_READ, 2, "value");
        assertThat(next.reply).isCompleted();
        assertThat(channel.isOpen()).isTrue();
    }
}

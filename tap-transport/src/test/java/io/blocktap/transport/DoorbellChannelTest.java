package io.blocktap.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.channel.DefaultEventLoop;
import io.netty.channel.EventLoop;
import io.netty.channel.EventLoopGroup;
import io.netty.handler.codec.UnsupportedMessageTypeException;
import io.netty.util.concurrent.Future;
import java.io.IOException;
import java.net.SocketAddress;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** A doorbell channel reads when it may, closes when it must, and behaves as a Netty channel otherwise. */
@ParameterizedClass
@EnumSource
@Timeout(60)
class DoorbellChannelTest {
    private final LoopKind kind;
    private final List<String> events = new CopyOnWriteArrayList<>();
    private EventLoopGroup group;
    private MappedRegion memory;
    private Bell channel;

    DoorbellChannelTest(LoopKind kind) {
        this.kind = kind;
    }

    @BeforeEach
    void start() throws NativeException {
        group = kind.newGroup(1);
        memory = MappedRegion.anonymous(4096);
        memory.view().putLong(0, 1);
        channel = new Bell();
        channel.pipeline().addLast(new Recorder());
    }

    @AfterEach
    void stop() {
        channel.close().awaitUninterruptibly();
        channel.eventFd.close();
        LoopKind.end(group);
        memory.release();
    }

    /** Counts its turns. */
    private static final class Bell extends DoorbellChannel {
        final Fd eventFd = Libc.eventFd();
        final AtomicInteger turns = new AtomicInteger();
        volatile BooleanSupplier turn = () -> false;

        Bell() throws NativeException {
            super(null);
        }

        @Override
        protected void doRegister(ChannelPromise promise) {
            watch(eventFd).addListener((Future<Object> future) -> {
                if (future.isSuccess()) {
                    setActive(true);
                    promise.setSuccess();
                } else {
                    promise.setFailure(future.cause());
                }
            });
        }

        void note() {
            lookNow();
        }

        @Override
        protected boolean takeAll() {
            turns.incrementAndGet();
            return turn.getAsBoolean();
        }

        @Override
        protected void doClose() throws Exception {
            super.doClose();
            eventFd.close();
        }

        @Override
        protected SocketAddress localAddress0() {
            return null;
        }

        @Override
        protected SocketAddress remoteAddress0() {
            return null;
        }
    }

    private final class Recorder extends ChannelInboundHandlerAdapter {
        @Override
        public void channelActive(ChannelHandlerContext ctx) {
            events.add("active");
            ctx.fireChannelActive();
        }

        @Override
        public void channelInactive(ChannelHandlerContext ctx) {
            events.add("inactive");
            ctx.fireChannelInactive();
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            events.add(cause.toString());
        }
    }

    private void register() {
        group.register(channel).syncUninterruptibly();
        settle();
    }

    private void ring() {
        assertThat(Libc.writeBytes(channel.eventFd, memory.address(), 8)).isEqualTo(8);
    }

    private void settle() {
        EventLoop loop = channel.eventLoop();
        for (int i = 0; i < 3; i++) {
            loop.submit(() -> {}).syncUninterruptibly();
            loop.schedule(() -> {}, 15, TimeUnit.MILLISECONDS).syncUninterruptibly();
        }
    }

    private void awaitTurns(int count) {
        await().untilAsserted(() -> assertThat(channel.turns).hasValue(count));
        settle();
        assertThat(channel.turns).hasValue(count);
    }

    // ---- reading

    @Test
    void looksOnceAtTheBeginningAndOnceARing() {
        register();
        awaitTurns(1); // what came before it was watched has rung for nobody

        ring();
        awaitTurns(2);
        ring();
        awaitTurns(3);
    }

    @Test
    void looksAgainWhenTheTurnSaysSo() {
        AtomicInteger left = new AtomicInteger(5);
        channel.turn = () -> left.decrementAndGet() > 0;

        register();

        awaitTurns(5);
    }

    @Test
    void looksAgainWhenItRangInTheTurn() {
        AtomicInteger rings = new AtomicInteger(1);
        channel.turn = () -> {
            if (rings.getAndDecrement() > 0) {
                channel.note();
            }
            return false;
        };

        register();

        awaitTurns(2);
    }

    @Test
    void letsTasksRunBetweenTurns() {
        channel.turn = () -> true; // busy without end
        group.register(channel).syncUninterruptibly();

        for (int i = 0; i < 10; i++) {
            assertThat(channel.eventLoop().submit(() -> {}).awaitUninterruptibly(5, TimeUnit.SECONDS))
                    .isTrue();
        }
    }

    @Test
    void takesNothingWithoutAutoRead() {
        channel.config().setAutoRead(false);
        register();
        ring();
        settle();
        assertThat(channel.turns).hasValue(0);

        channel.read();
        awaitTurns(1);
        channel.read(); // nothing rang since; the permission is kept
        settle();
        assertThat(channel.turns).hasValue(1);
        ring();
        awaitTurns(2);
        ring();
        settle();
        assertThat(channel.turns).hasValue(2);

        channel.config().setAutoRead(true);
        awaitTurns(3);
        ring();
        awaitTurns(4);
    }

    @Test
    void takesNothingAfterAutoReadIsSwitchedOff() {
        register();
        awaitTurns(1);
        ring();
        awaitTurns(2);
        channel.read(); // as each turn's readComplete does
        settle();

        channel.config().setAutoRead(false);
        ring();
        settle();

        assertThat(channel.turns).hasValue(2);
    }

    @Test
    void takesNothingAfterAutoReadIsSwitchedOffInATurn() {
        channel.turn = () -> {
            channel.config().setAutoRead(false);
            channel.pipeline().fireChannelReadComplete();
            return true;
        };
        register();

        settle();
        assertThat(channel.turns).hasValue(1);
        channel.read();
        awaitTurns(2);
    }

    @Test
    void oneReadIsOneTurnEvenIfMoreIsLeft() {
        channel.config().setAutoRead(false);
        channel.turn = () -> true;
        register();

        channel.read();
        awaitTurns(1);
        channel.read();
        awaitTurns(2);
    }

    // ---- faults

    @Test
    void closesWhenATurnFails() {
        channel.turn = () -> {
            throw new IllegalStateException("a bug");
        };

        register();

        assertThat(channel.closeFuture().awaitUninterruptibly(5, TimeUnit.SECONDS))
                .isTrue();
        await().untilAsserted(() ->
                assertThat(events).containsExactly("active", "java.lang.IllegalStateException: a bug", "inactive"));
        assertThat(channel.eventFd.isOpen()).isFalse();
    }

    @Test
    void refusesWhatItCanNotDo() {
        register();

        assertThat(channel.writeAndFlush("text").awaitUninterruptibly().cause())
                .isInstanceOf(UnsupportedMessageTypeException.class);
        assertThat(channel.bind(new SocketAddress() {
                            private static final long serialVersionUID = 1L;
                        })
                        .awaitUninterruptibly()
                        .cause())
                .isInstanceOf(UnsupportedOperationException.class);
        assertThat(channel.connect(new SocketAddress() {
                            private static final long serialVersionUID = 1L;
                        })
                        .awaitUninterruptibly()
                        .cause())
                .isInstanceOf(UnsupportedOperationException.class);
        assertThat(channel.isActive()).isTrue();
    }

    @Test
    void refusesOtherLoops() {
        DefaultEventLoop other = new DefaultEventLoop();

        ChannelFuture registered = other.register(channel).awaitUninterruptibly();

        assertThat(registered.cause())
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("incompatible event loop type");
        other.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly();
        group.register(channel).syncUninterruptibly(); // a fitting one does still
    }

    // ---- the end

    @Test
    void tellsItsLife() {
        assertThat(channel.isOpen()).isTrue();
        assertThat(channel.isActive()).isFalse();
        register();
        assertThat(channel.isActive()).isTrue();
        assertThat(channel.metadata().hasDisconnect()).isFalse();

        channel.disconnect().syncUninterruptibly(); // the same as close

        assertThat(channel.isOpen()).isFalse();
        assertThat(channel.isActive()).isFalse();
        assertThat(channel.closeFuture().isDone()).isTrue();
        await().untilAsserted(() -> assertThat(events).containsExactly("active", "inactive"));
        assertThat(channel.close().awaitUninterruptibly().isSuccess()).isTrue();
    }

    @Test
    void closesWhenItsLoopEnds() {
        try (LogCapture log = new LogCapture()) {
            register();

            LoopKind.end(group);

            assertThat(channel.closeFuture().isDone()).isTrue();
            assertThat(channel.eventFd.isOpen()).isFalse();
            assertThat(events).containsExactly("active", "inactive");
            assertThat(log.lines()).isEmpty();
        }
    }

    @Test
    void leavesNothingBehind() throws IOException {
        register();
        var before = OpenFds.count();
        for (int i = 0; i < 200; i++) {
            Bell bell = new Bell();
            group.register(bell).syncUninterruptibly();
            assertThat(Libc.writeBytes(bell.eventFd, memory.address(), 8)).isEqualTo(8);
            bell.close().syncUninterruptibly();
        }

        assertThat(OpenFds.count()).isEqualTo(before);
        int turns = channel.turns.get();
        ring();
        awaitTurns(turns + 1);
    }
}

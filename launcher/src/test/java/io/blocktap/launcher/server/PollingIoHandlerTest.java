package io.blocktap.launcher.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.channel.EventLoopGroup;
import io.netty.channel.IoEventLoopGroup;
import io.netty.channel.IoHandle;
import io.netty.channel.IoHandler;
import io.netty.channel.IoHandlerContext;
import io.netty.channel.IoRegistration;
import io.netty.channel.uring.IoUringIoHandler;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.IntSupplier;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/** On a clock of its own, over a handler that tells whether it was allowed to block. */
class PollingIoHandlerTest {
    private static final int MOST_NANOS = 100_000;
    private static final int LOOK_NANOS = 1_000;

    private long now = 5;
    private boolean hasTasks;
    private IntSupplier onLook = () -> 0;
    private long sleepNanos;
    private long activeNanos;
    private final List<String> runs = new ArrayList<>();

    private final IoHandlerContext loop = new IoHandlerContext() {
        @Override
        public boolean canBlock() {
            return !hasTasks;
        }

        @Override
        public long delayNanos(long currentTimeNanos) {
            return 1;
        }

        @Override
        public long deadlineNanos() {
            return 2;
        }
    };

    private final PollingIoHandler polling = new PollingIoHandler(new Handler(), new PollWindow(MOST_NANOS), () -> now);

    @Test
    void aLoopWhoseSleepsAreLongNeverLooksTwice() {
        sleepNanos = MOST_NANOS + 1;
        for (int i = 0; i < 10; i++) {
            assertThat(polling.run(loop)).isEqualTo(1);
        }
        assertThat(runs).hasSize(10).containsOnly("slept");
    }

    @Test
    void afterShortSleepsALookFindsTheNextEventWithoutASleep() {
        sleepNanos = 1_000;
        sleepUntilWindowIsOpen();
        int[] looks = {0};
        onLook = () -> ++looks[0] == 3 ? 7 : 0;

        assertThat(polling.run(loop)).isEqualTo(7);

        assertThat(runs).containsExactly("looked", "looked", "looked");
    }

    @Test
    void looksNoLongerThanTheLargestWindowThenSleeps() {
        sleepNanos = 0;
        sleepUntilWindowIsOpen();
        long start = now;
        sleepNanos = MOST_NANOS;

        polling.run(loop);

        assertThat(runs).endsWith("slept");
        assertThat(now - start - sleepNanos).isBetween((long) MOST_NANOS, (long) MOST_NANOS + 2 * LOOK_NANOS);
        runs.clear();
        polling.run(loop);
        assertThat(runs).as("it looked in vain once").containsExactly("slept");
    }

    @Test
    void aTaskEndsTheLooking() {
        sleepNanos = 1_000;
        sleepUntilWindowIsOpen();
        onLook = () -> {
            hasTasks = true;
            return 0;
        };

        assertThat(polling.run(loop)).isZero();

        assertThat(runs).containsExactly("looked");
    }

    @Test
    void timeSpentOnEventsDoesNotCountAsSleep() {
        sleepNanos = 20_000;
        activeNanos = 10 * MOST_NANOS;
        sleepUntilWindowIsOpen();
        onLook = () -> 1;

        polling.run(loop);

        assertThat(runs).containsExactly("looked");
    }

    @Test
    void withTasksToRunTheHandlerIsAskedOnce() {
        hasTasks = true;
        polling.run(loop);
        assertThat(runs).containsExactly("looked");
    }

    @Test
    void aLoopOnIoUringIsKnownAsSuchWithBusyPolling() throws Exception {
        Assumptions.assumeTrue(EventLoops.missing(EventLoopKind.IO_URING) == null, "no io_uring here");
        EventLoopGroup group = EventLoops.create(EventLoopKind.IO_URING, 1, EventLoops.defaultBusyPoll());
        try {
            assertThat(((IoEventLoopGroup) group).isIoType(IoUringIoHandler.class))
                    .isTrue();
        } finally {
            group.shutdownGracefully(0, 5, TimeUnit.SECONDS).sync();
        }
    }

    private void sleepUntilWindowIsOpen() {
        for (int i = 0; i < 10; i++) {
            polling.run(loop);
        }
        runs.clear();
    }

    private final class Handler implements IoHandler {
        @Override
        public int run(IoHandlerContext context) {
            if (context.canBlock()) {
                runs.add("slept");
                now += sleepNanos + activeNanos;
                context.reportActiveIoTime(activeNanos);
                return 1;
            }
            runs.add("looked");
            now += LOOK_NANOS;
            return onLook.getAsInt();
        }

        @Override
        public IoRegistration register(IoHandle handle) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void wakeup() {}

        @Override
        public boolean isCompatible(Class<? extends IoHandle> handleType) {
            return true;
        }
    }
}

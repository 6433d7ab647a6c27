package io.blocktap.launcher.server;

import io.netty.channel.IoHandle;
import io.netty.channel.IoHandler;
import io.netty.channel.IoHandlerContext;
import io.netty.channel.IoHandlerFactory;
import io.netty.channel.IoRegistration;
import io.netty.util.concurrent.ThreadAwareExecutor;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Looks for events for a while before it lets the thread sleep, if sleeps have been short of late. A processor that went idle takes 20 to 50 microseconds to come back, in a virtual
 * machine; a client with one request under way sends its next in less.
 *
 * <p>Works on top of any handler, by telling it that it may not block. An event or a task ends the looking at once.
 *
 * <p>Threads: the event loop's own, but for {@link #wakeup}.
 */
final class PollingIoHandler implements IoHandler {
    private final IoHandler handler;
    private final PollWindow window;
    private final LongSupplier nanoTime;
    private @Nullable Context context;

    PollingIoHandler(IoHandler handler, PollWindow window, LongSupplier nanoTime) {
        this.handler = handler;
        this.window = window;
        this.nanoTime = nanoTime;
    }

    /**
     * Makes a factory of handlers that look longer.
     *
     * @param mostNanos the longest that one looks before it sleeps
     */
    static IoHandlerFactory factory(IoHandlerFactory handlers, long mostNanos) {
        return new IoHandlerFactory() {
            @Override
            public IoHandler newHandler(ThreadAwareExecutor executor) {
                return new PollingIoHandler(handlers.newHandler(executor), new PollWindow(mostNanos), System::nanoTime);
            }

            @Override
            public boolean isChangingThreadSupported() {
                return handlers.isChangingThreadSupported();
            }
        };
    }

    @Override
    public int run(IoHandlerContext loop) {
        if (!loop.canBlock()) {
            return handler.run(loop);
        }
        Context own = context;
        if (own == null || own.loop != loop) {
            own = new Context(loop);
            context = own;
        }
        long start = nanoTime.getAsLong();
        if (window.nanos() > 0) {
            own.mayBlock = false;
            long end = start + window.nanos();
            do {
                int handled = handler.run(own);
                if (handled > 0 || !loop.canBlock()) {
                    return handled;
                }
            } while (nanoTime.getAsLong() - end < 0);
        }
        own.mayBlock = true;
        own.activeNanos = 0;
        int handled = handler.run(own);
        window.slept(nanoTime.getAsLong() - start - own.activeNanos);
        return handled;
    }

    @Override
    public void initialize() {
        handler.initialize();
    }

    @Override
    public void prepareToDestroy() {
        handler.prepareToDestroy();
    }

    @Override
    public void destroy() {
        handler.destroy();
    }

    @Override
    public IoRegistration register(IoHandle handle) throws Exception {
        return handler.register(handle);
    }

    @Override
    public void wakeup() {
        handler.wakeup();
    }

    @Override
    public boolean isCompatible(Class<? extends IoHandle> handleType) {
        return handler.isCompatible(handleType);
    }

    /** The loop's own, but for whether one may block and who hears how long the events took. */
    private static final class Context implements IoHandlerContext {
        final IoHandlerContext loop;
        boolean mayBlock;
        long activeNanos;

        Context(IoHandlerContext loop) {
            this.loop = loop;
        }

        @Override
        public boolean canBlock() {
            return mayBlock && loop.canBlock();
        }

        @Override
        public long delayNanos(long currentTimeNanos) {
            return loop.delayNanos(currentTimeNanos);
        }

        @Override
        public long deadlineNanos() {
            return loop.deadlineNanos();
        }

        @Override
        public boolean shouldReportActiveIoTime() {
            return true;
        }

        @Override
        public void reportActiveIoTime(long nanos) {
            activeNanos = nanos;
            if (loop.shouldReportActiveIoTime()) {
                loop.reportActiveIoTime(nanos);
            }
        }
    }
}

package io.blocktap.transport;

import io.blocktap.transport.sys.Fd;
import io.netty.channel.AbstractChannel;
import io.netty.channel.Channel;
import io.netty.channel.ChannelConfig;
import io.netty.channel.ChannelMetadata;
import io.netty.channel.ChannelOutboundBuffer;
import io.netty.channel.ChannelPromise;
import io.netty.channel.DefaultChannelConfig;
import io.netty.channel.EventLoop;
import io.netty.handler.codec.UnsupportedMessageTypeException;
import io.netty.util.concurrent.Future;
import java.net.SocketAddress;
import org.jspecify.annotations.Nullable;

/**
 * A Netty channel over one pollable descriptor that says "look now" and carries no data itself: an eventfd, an event channel, a listening socket.
 *
 * <p>It runs on epoll and on io_uring loops alike, on Netty 4.2's public {@code IoHandle} API. The doorbell is watched edge-triggered and need not be
 * read; so a subclass must, in {@link #takeAll}, take all there is and arrange for the next ring before it returns.
 *
 * <p>Reading follows Netty's rules: with auto-read on, every ring leads to {@link #takeAll}; with it off, each {@code read()} allows
 * one. A ring that comes while reading is not allowed is remembered.
 *
 * <p>Ownership: the channel closes the doorbell in {@link #doClose}. Threads: the channel's event loop.
 */
public abstract class DoorbellChannel extends AbstractChannel {
    private static final ChannelMetadata METADATA = new ChannelMetadata(false);

    private final ChannelConfig config = newConfig();
    private final Runnable takeAllTask = this::takeAllNow;
    private @Nullable FdPoll poll;
    private boolean rang = true; // what came before we listened has rung for nobody
    private boolean readAllowed;
    private boolean turnAllowed;
    private boolean taking;
    private boolean taskScheduled;
    private volatile boolean open = true;
    private volatile boolean active;

    /**
     * Makes an unregistered channel.
     *
     * @param parent the server channel that accepted it, or null
     */
    protected DoorbellChannel(@Nullable Channel parent) {
        super(parent);
    }

    // ---- for subclasses

    /** Makes the channel's configuration; called once, by this class's constructor. */
    protected ChannelConfig newConfig() {
        return new DefaultChannelConfig(this);
    }

    /**
     * Takes all there is to take. On the loop.
     *
     * @return whether something may be left (the budget of one turn is used up): it is then called again soon, after other channels
     */
    protected abstract boolean takeAll();

    /** Returns whether reading is allowed at this moment; to be asked before each message. */
    protected final boolean mayRead() {
        return turnAllowed || readAllowed || config.isAutoRead();
    }

    /** Begins to watch a doorbell. On the loop, once; the channel is active from now on when {@code nowActive} says so. */
    protected final Future<Object> watch(Fd doorbell) {
        FdPoll newPoll = new FdPoll(doorbell, FdPoll.IN, events -> lookNow(), this::closeBecauseLoopEnds);
        poll = newPoll;
        return newPoll.register(eventLoop());
    }

    /** Marks the channel active or not; the caller fires the events that go with it. */
    protected final void setActive(boolean nowActive) {
        active = nowActive;
    }

    /** Notes that there may be something to take, and takes it as soon as reading is allowed. On the loop. */
    protected final void lookNow() {
        rang = true;
        if (mayRead() && !taking) {
            takeAllNow();
        }
    }

    /** Closes the channel because its event loop ends. */
    protected final void closeBecauseLoopEnds() {
        unsafe().close(voidPromise());
    }

    /** Stops watching the doorbell. Called by {@link #doClose}, before the doorbell is closed. */
    protected final void unwatch() {
        FdPoll current = poll;
        poll = null;
        if (current != null) {
            current.detach();
        }
    }

    // ---- the loop's side

    private void takeAllNow() {
        taskScheduled = false;
        if (!open || !rang || !active || taking || !mayRead()) {
            return;
        }
        taking = true;
        turnAllowed = !config.isAutoRead();
        readAllowed = false;
        rang = false;
        try {
            boolean more = takeAll();
            rang |= more; // after the call: it may have rung meanwhile
        } catch (Throwable t) {
            // The ring may not be armed any more; better an end that is seen than one that waits for ever.
            pipeline().fireExceptionCaught(t);
            close();
        } finally {
            taking = false;
            turnAllowed = false;
        }
        if (rang && mayRead()) {
            scheduleTakeAll();
        }
    }

    private void scheduleTakeAll() {
        if (!taskScheduled) {
            taskScheduled = true;
            eventLoop().execute(takeAllTask);
        }
    }

    // ---- AbstractChannel

    @Override
    protected void doBeginRead() {
        // With auto-read on each turn ends with a read(); remembered, it would allow one more turn after auto-read is
        // switched off.
        readAllowed = !config.isAutoRead();
        if (rang && !taking) {
            scheduleTakeAll();
        }
    }

    @Override
    protected boolean isCompatible(EventLoop loop) {
        return FdPoll.isCompatible(loop);
    }

    @Override
    protected void doClose() throws Exception {
        open = false;
        active = false;
        unwatch();
    }

    @Override
    protected void doDisconnect() throws Exception {
        doClose();
    }

    @Override
    protected void doDeregister() {
        unwatch();
    }

    @Override
    protected void doBind(SocketAddress localAddress) throws Exception {
        throw new UnsupportedOperationException("bind");
    }

    @Override
    protected void doWrite(ChannelOutboundBuffer in) {
        throw new UnsupportedOperationException("a ring takes responses from its codec");
    }

    @Override
    protected final Object filterOutboundMessage(Object message) {
        throw new UnsupportedMessageTypeException(message);
    }

    @Override
    public final ChannelConfig config() {
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
    protected AbstractUnsafe newUnsafe() {
        return new ConnectedUnsafe();
    }

    /** For channels that are connected when they are made. */
    private final class ConnectedUnsafe extends AbstractUnsafe {
        @Override
        public void connect(SocketAddress remoteAddress, SocketAddress localAddress, ChannelPromise promise) {
            promise.setFailure(new UnsupportedOperationException("connected already"));
        }
    }
}

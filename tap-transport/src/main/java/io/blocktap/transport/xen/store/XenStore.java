package io.blocktap.transport.xen.store;

import io.blocktap.transport.TapException;
import io.netty.channel.ChannelFuture;
import io.netty.channel.EventLoop;
import java.io.IOException;
import java.util.Collection;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A client of the xenstore.
 *
 * <pre>{@code
 * XenStore.connect(loop, XenStoreEndpoint.find()).thenAccept(store -> {
 *     store.read(XenStorePath.of("domid")).thenAccept(domid -> ...);
 *     store.watch(XenStorePath.of("/local/domain/0/backend/vbd3"), path -> lookAgain());
 *     store.transaction(tx -> tx.read(state).thenCompose(old -> tx.write(state, next(old))));
 * });
 * }</pre>
 *
 * <p><b>Futures.</b> {@link CompletableFuture}s and not Netty's, because what a transaction does is a chain of steps that depend on each other, and Netty 4 has
 * nothing to chain with. They are completed on the event loop, so what hangs on them runs there when they are used on the loop. A caller on another
 * thread has a choice: {@code thenApply} may run on its own thread if the reply is there already, {@code thenApplyAsync} runs on the loop always. They refuse to
 * be waited for on the loop. There is no time limit on a reply; {@code orTimeout} makes one.
 *
 * <p><b>Bounds.</b> {@link XenStoreConfig#maxOutstanding} requests are on their way, {@link XenStoreConfig#maxQueued} wait, and the next fails.
 *
 * <p><b>The connection's end</b> fails all that is outstanding; whether it was done nobody knows, and nothing is repeated. Over the socket the client connects
 * again, with pauses that double up to a limit, until {@link #close}; meanwhile new requests fail at once. When there is a connection again, all open watches are
 * set on it, <em>then</em> {@link XenStoreListener#reconnected} is told, and then each watch fires once, as when it was set first. So a listener that looks
 * again at each event misses no state, only what came and went in between. Transactions do not survive. What xenstored itself remembers over its restart is
 * xenstored's affair: after a crash the store may be empty. The device's connection is the kernel's, which hides a restart of xenstored; when it ends, that is
 * for good.
 *
 * <p>Threads: all methods may be called from any; everything else happens on the event loop, epoll or io_uring.
 *
 * <p>Source: {@code docs/misc/xenstore.txt} and {@code xen/include/public/io/xs_wire.h} of Xen.
 */
public final class XenStore extends XenStoreNodes {
    private static final Logger LOG = LoggerFactory.getLogger(XenStore.class);

    private enum State {
        CONNECTING,
        /** Connected, but watches are not all set anew. */
        RESTORING,
        UP,
        /** Waits before it connects again. */
        PAUSING,
        CLOSED
    }

    private final EventLoop loop;
    private final XenStoreEndpoint endpoint;
    private final XenStoreConfig config;
    private final XenStoreListener listener;
    private final LoopFuture<XenStore> opening;
    private final LoopFuture<Void> closing;
    private final WatchSet watches = new WatchSet(this);
    private final Events events = new Events();
    private State state = State.CONNECTING;
    private @Nullable XsConnection connection;
    private io.netty.util.concurrent.@Nullable Future<?> pause;
    private boolean opened;
    private int failedAttempts;
    private int unset;

    private XenStore(EventLoop loop, XenStoreEndpoint endpoint, XenStoreConfig config, XenStoreListener listener) {
        this.loop = loop;
        this.endpoint = endpoint;
        this.config = config;
        this.listener = listener;
        this.opening = new LoopFuture<>(loop);
        this.closing = new LoopFuture<>(loop);
    }

    /** Connects with the default limits and nobody who hears of the connection's end. */
    public static CompletableFuture<XenStore> connect(EventLoop loop, XenStoreEndpoint endpoint) {
        return connect(loop, endpoint, XenStoreConfig.DEFAULT, XenStoreListener.NONE);
    }

    /**
     * Connects.
     *
     * @param loop an epoll or io_uring loop
     * @return completes when connected; fails with one line if that is not possible: the first connection is tried once
     */
    public static CompletableFuture<XenStore> connect(
            EventLoop loop, XenStoreEndpoint endpoint, XenStoreConfig config, XenStoreListener listener) {
        XenStore store = new XenStore(loop, endpoint, config, listener);
        store.onLoop(store.opening, store::connectNow);
        return store.opening;
    }

    /** Returns the event loop that everything happens on. */
    public EventLoop loop() {
        return loop;
    }

    XenStoreConfig config() {
        return config;
    }

    // ---- requests

    /** Runs on the loop, now or soon; fails the future if the loop has ended. */
    void onLoop(CompletableFuture<?> future, Runnable task) {
        if (loop.inEventLoop()) {
            task.run();
            return;
        }
        try {
            loop.execute(task);
        } catch (RejectedExecutionException e) {
            future.completeExceptionally(new TapException("xenstore at " + endpoint + ": the event loop has ended", e));
        }
    }

    void onLoop(XsRequest request, Runnable task) {
        onLoop(request.reply, task);
    }

    @Override
    CompletableFuture<XsMessage> request(int type, String path, byte[] payload) {
        XsRequest request = new XsRequest(loop, type, 0, path, payload);
        if (!isTooBig(request)) {
            onLoop(request, () -> submit(request));
        }
        return request.reply;
    }

    /** Refuses a request that would cost the connection. */
    boolean isTooBig(XsRequest request) {
        boolean tooBig = request.payload.length > endpoint.payloadMaxBytes();
        if (tooBig) {
            request.refuse(
                    XenStoreException.E2BIG,
                    ", " + request.payload.length + " bytes, at most " + endpoint.payloadMaxBytes() + " go through "
                            + endpoint);
        }
        return tooBig;
    }

    /** Sends a request, on the loop. Returns the connection that took it, or null if there is none; the request has failed then. */
    @Nullable
    XsConnection submit(XsRequest request) {
        XsConnection current = connection;
        if (state != State.UP || current == null) {
            request.reply.completeExceptionally(new TapException("xenstore at " + endpoint + ": " + request + ": "
                    + (state == State.CLOSED ? "closed" : "not connected at this moment")));
            return null;
        }
        current.submit(request);
        return current;
    }

    /** Asks for the path of a domain's own nodes, whether the domain exists or not. */
    public CompletableFuture<XenStorePath> domainPath(int domid) {
        return request(XsWire.XS_GET_DOMAIN_PATH, "", XsRequest.strings(domid))
                .thenApply(reply -> XenStorePath.of(reply.text()));
    }

    /** Asks whether xenstored talks with a domain: from its creation by the toolstack until its end. */
    public CompletableFuture<Boolean> isIntroduced(int domid) {
        return request(XsWire.XS_IS_DOMAIN_INTRODUCED, "", XsRequest.strings(domid))
                .thenApply(reply -> reply.text().equals("T"));
    }

    /**
     * Does several things at once, or none of them.
     *
     * <p>The body may run several times: xenstored refuses (EAGAIN) a transaction that met another writer. It is then done again, at once at first and then
     * after short pauses, {@link XenStoreConfig#maxTransactionAttempts} times at most. A body that fails ends its transaction without effect, and is not done
     * again, unless it failed with EAGAIN. One whose future is cancelled or times out before the body is done has no effect either.
     *
     * @param body called on the loop; what it asks for with the transaction belongs to it. The transaction ends when the returned future completes
     * @return the body's result, once it has taken effect
     */
    public <T> CompletableFuture<T> transaction(Function<XenStoreTransaction, ? extends CompletableFuture<T>> body) {
        LoopFuture<T> result = new LoopFuture<>(loop);
        onLoop(result, new TransactionRun<>(this, body, result)::begin);
        return result;
    }

    // ---- watches

    /**
     * Watches a node and all below it, or a special name such as {@link XenStorePath#RELEASE_DOMAIN}.
     *
     * @param watchListener called once soon after the watch is set, and then whenever something may have changed
     * @return completes when the watch is set, before the listener is called
     */
    public CompletableFuture<Watch> watch(XenStorePath path, WatchListener watchListener) {
        LoopFuture<Watch> result = new LoopFuture<>(loop);
        onLoop(result, () -> {
            // In the set before it is sent: the device may tell the first event before the reply.
            Watch watch = watches.add(path, watchListener);
            XsRequest request = watchRequest(XsWire.XS_WATCH, watch);
            if (!isTooBig(request)) {
                submit(request);
            }
            request.reply.whenComplete((ok, failure) -> {
                if (failure != null) {
                    watches.remove(watch);
                    result.completeExceptionally(failure);
                    return;
                }
                watch.markSet();
                if (!result.complete(watch)) {
                    watch.close(); // cancelled: nobody else could
                }
            });
        });
        return result;
    }

    private XsRequest watchRequest(int type, Watch watch) {
        return new XsRequest(loop, type, 0, watch.path().toString(), XsRequest.strings(watch.path(), watch.token()));
    }

    CompletableFuture<Void> unwatch(Watch watch) {
        LoopFuture<Void> result = new LoopFuture<>(loop);
        onLoop(result, () -> {
            boolean first = !watch.isClosed();
            watches.remove(watch);
            XsConnection current = connection;
            if (!first || current == null) {
                result.complete(null);
                return;
            }
            XsRequest request = watchRequest(XsWire.XS_UNWATCH, watch);
            current.submitAlways(request);
            request.reply.whenComplete((ok, failure) -> {
                if (failure instanceof XenStoreException) {
                    result.completeExceptionally(failure);
                } else {
                    result.complete(null);
                }
            });
        });
        return result;
    }

    /** What the connection tells. */
    private final class Events implements XsConnection.Owner {
        @Override
        public void watchFired(String path, String token) {
            watches.fire(path, token);
        }

        @Override
        public void readComplete() {
            watches.endTurn();
            if (state == State.UP) {
                watches.dispatch();
            }
        }
    }

    // ---- the connection

    private void connectNow() {
        if (state == State.CLOSED) {
            return;
        }
        state = State.CONNECTING;
        XsConnection made = new XsConnection(endpoint, config, events);
        try {
            ChannelFuture connecting = endpoint.connect(loop, made.initializer());
            connecting.addListener(future -> {
                if (future.isSuccess()) {
                    connected(connecting, made);
                } else {
                    connectFailed(future.cause());
                }
            });
        } catch (IOException e) {
            connectFailed(e);
        }
    }

    private void connectFailed(Throwable failure) {
        TapException cause = new TapException(
                "xenstore at " + endpoint + ": can not be connected: " + failure.getMessage(), failure);
        if (!opened) {
            state = State.CLOSED;
            closing.complete(null);
            opening.completeExceptionally(cause);
        } else if (state == State.CLOSED) {
            closing.complete(null);
        } else {
            pauseThenConnect(cause);
        }
    }

    private void connected(ChannelFuture connecting, XsConnection made) {
        if (state == State.CLOSED) {
            made.end(new TapException("closed"));
        } else {
            connection = made;
            state = State.RESTORING;
            Collection<Watch> all = watches.all();
            unset = all.size();
            all.forEach(each -> setAnew(made, each));
            upIfAllSet();
        }
        // Last: if it has ended already, this is called at once.
        connecting.channel().closeFuture().addListener(future -> connectionEnded(made));
    }

    private void setAnew(XsConnection made, Watch watch) {
        XsRequest request = watchRequest(XsWire.XS_WATCH, watch);
        made.submitAlways(request);
        request.reply.whenComplete((ok, failure) -> {
            if (failure == null) {
                unset--;
                upIfAllSet();
            } else {
                // A connection on which somebody waits for events that never come would be worse than none.
                made.end(new TapException(watch + " could not be set anew: " + failure.getMessage(), failure));
            }
        });
    }

    private void upIfAllSet() {
        if (state != State.RESTORING || unset > 0) {
            return;
        }
        state = State.UP;
        failedAttempts = 0;
        if (opened) {
            LOG.info(
                    "xenstore at {}: connected again, {} watches are set anew",
                    endpoint,
                    watches.all().size());
            tell(listener::reconnected);
            watches.dispatch();
            return;
        }
        opened = true;
        if (!opening.complete(this)) {
            close(); // cancelled: nobody else could
        }
    }

    private void connectionEnded(XsConnection ended) {
        IOException cause = ended.closed();
        boolean wasUp = state == State.UP;
        boolean wasClosed = state == State.CLOSED;
        boolean forGood = wasClosed || !endpoint.mayReconnect() || loop.isShuttingDown();
        connection = null;
        watches.forgetFired();
        state = forGood ? State.CLOSED : State.PAUSING;
        ended.failAll();
        if (!forGood) {
            if (wasUp && state == State.PAUSING) {
                LOG.warn("xenstore at {}: the connection has ended: {}", endpoint, cause.getMessage());
                tell(() -> listener.disconnected(cause));
            }
            if (state == State.PAUSING) { // not closed by somebody who has just heard
                pauseThenConnect(cause);
            }
            return;
        }
        closing.complete(null);
        if (!wasClosed) {
            watches.removeAll();
            tell(() -> listener.ended(cause));
        }
    }

    private void pauseThenConnect(IOException cause) {
        state = State.PAUSING;
        long pauseMillis = Math.min(
                config.reconnectMaxMillis(), (long) config.reconnectMinMillis() << Math.min(failedAttempts, 20));
        failedAttempts++;
        LOG.debug("xenstore at {}: tried again in {} ms: {}", endpoint, pauseMillis, cause.getMessage());
        try {
            pause = loop.schedule(this::connectNow, pauseMillis, TimeUnit.MILLISECONDS);
        } catch (RejectedExecutionException e) {
            state = State.CLOSED;
            closing.complete(null);
            tell(() -> listener.ended(cause));
        }
    }

    private void tell(Runnable telling) {
        try {
            telling.run();
        } catch (Throwable t) {
            LOG.error("listener of the xenstore at {} failed", endpoint, t);
        }
    }

    /**
     * Closes the connection and makes no new one. What is outstanding fails, watches fall silent, transactions have no effect.
     *
     * @return completes when the connection is closed
     */
    public CompletableFuture<Void> close() {
        onLoop(closing, () -> {
            State was = state;
            XsConnection current = connection;
            state = State.CLOSED;
            watches.removeAll();
            if (pause != null) {
                pause.cancel(false);
            }
            if (current != null) {
                current.end(new TapException("closed"));
            } else if (was != State.CONNECTING) {
                closing.complete(null);
            }
        });
        return closing;
    }

    @Override
    public String toString() {
        return "xenstore at " + endpoint;
    }
}

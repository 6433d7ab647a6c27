package io.blocktap.transport.xen.frontend;

import io.blocktap.transport.TapException;
import io.blocktap.transport.frontend.FrontGeometry;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.xen.EventChannels;
import io.blocktap.transport.xen.GrantAllocator;
import io.blocktap.transport.xen.XenAddress;
import io.blocktap.transport.xen.XenDevices;
import io.blocktap.transport.xen.store.XenStore;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenbusState;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoop;
import io.netty.util.concurrent.Future;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A disk of a Xen backend in this same domain, without a guest: makes the device in xenstore, grants pages, offers event channels, and connects.
 *
 * <p>One event loop serves xenstore and all rings. Any thread; futures complete on that loop. Ownership: it has its own connection to xenstored, and its own descriptors of evtchn and
 * gntalloc, all of which {@link #close} gives back.
 */
public final class XenFrontend implements AutoCloseable {
    /** How the slots are laid out, and how that is called in xenstore. */
    public enum Abi {
        /** 64-bit x86. */
        X86_64("x86_64-abi", BlkifLayout.X86_64),
        /** 32-bit x86, whose 64-bit numbers lie on multiples of 4. */
        X86_32("x86_32-abi", BlkifLayout.X86_32),
        /** Arm, 32 and 64 bits: as 64-bit x86. */
        ARM("arm-abi", BlkifLayout.X86_64);

        private final String protocol;
        private final BlkifLayout layout;

        Abi(String protocol, BlkifLayout layout) {
            this.protocol = protocol;
            this.layout = layout;
        }

        /** Returns its name in xenstore. */
        public String protocol() {
            return protocol;
        }

        /** Returns the layout. */
        public BlkifLayout layout() {
            return layout;
        }
    }

    /**
     * How to connect.
     *
     * @param ringPages of each ring: 1, 2, 4, 8 or 16
     * @param queues rings, 1 to what the backend offers
     * @param dataPages of each ring; the kernel grants 1024 pages in all, by default
     */
    public record Options(Abi abi, int ringPages, int queues, int dataPages) {}

    private static final long CLOSE_SECONDS = 60;

    private final EventLoop loop;
    private final XenStore store;
    private final Options options;
    private final List<XenFrontendChannel> queues = new ArrayList<>();
    private @Nullable EventChannels events;
    private @Nullable GrantAllocator allocator;
    private @Nullable XenDeviceNodes nodes;
    private @Nullable CompletableFuture<Void> closing;

    private XenFrontend(EventLoop loop, XenStore store, Options options) {
        this.loop = loop;
        this.store = store;
        this.options = options;
    }

    /**
     * Makes a device and connects it.
     *
     * @param loop an epoll or io_uring loop; stays owned by the caller
     * @param directory the backend's, for example {@code /local/domain/0/backend/tap}
     * @param disk its name; empty for the default one
     * @return completes when the backend is connected; fails with one line that says why not, and leaves nothing behind then
     */
    public static CompletableFuture<XenFrontend> connect(
            EventLoop loop, XenDevices devices, XenStorePath directory, String disk, Options options) {
        XenStoreEndpoint endpoint;
        try {
            endpoint = XenStoreEndpoint.find();
        } catch (TapException e) {
            return CompletableFuture.failedFuture(e);
        }
        return XenStore.connect(loop, endpoint).thenCompose(store -> {
            XenFrontend frontend = new XenFrontend(loop, store, options);
            return frontend.open(devices, directory, disk)
                    .handle((ok, failure) -> failure == null
                            ? CompletableFuture.completedFuture(frontend)
                            : frontend.disconnect()
                                    .handle((done, ignored) -> done)
                                    .thenCompose(done -> CompletableFuture.<XenFrontend>failedFuture(causeOf(failure))))
                    .thenCompose(result -> result);
        });
    }

    private static Throwable causeOf(Throwable failure) {
        return failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
    }

    private static <T> CompletableFuture<T> completable(Future<? extends T> future) {
        CompletableFuture<T> result = new CompletableFuture<>();
        future.addListener((Future<T> done) -> {
            if (done.isSuccess()) {
                result.complete(done.getNow());
            } else {
                result.completeExceptionally(done.cause());
            }
        });
        return result;
    }

    private CompletableFuture<Void> open(XenDevices devices, XenStorePath directory, String disk) {
        try {
            allocator = GrantAllocator.open(devices);
        } catch (TapException e) {
            return CompletableFuture.failedFuture(e);
        }
        return XenFrontend.<EventChannels>completable(EventChannels.open(loop, devices))
                .thenCompose(opened -> {
                    events = opened;
                    return XenDeviceNodes.create(store, directory, disk);
                })
                .thenCompose(made -> {
                    nodes = made;
                    return made.awaitBackend(List.of(XenbusState.INIT_WAIT));
                })
                .thenCompose(offered -> makeRings())
                .thenCompose(made -> nodes().publish(
                                options.abi().protocol(),
                                queues.stream()
                                        .map(XenFrontendChannel::published)
                                        .toList()))
                .thenCompose(told -> nodes().awaitBackend(List.of(XenbusState.CONNECTED)))
                .thenCompose(connected -> nodes().geometry())
                .thenCompose(geometry -> {
                    queues.forEach(queue -> queue.connected(geometry));
                    nodes().onBackendChange(this::lookAtGeometry);
                    return nodes().say(XenbusState.CONNECTED);
                });
    }

    private CompletableFuture<Void> makeRings() {
        List<CompletableFuture<Void>> registered = new ArrayList<>();
        try {
            for (int i = 0; i < options.queues(); i++) {
                XenFrontendChannel queue = XenFrontendChannel.make(
                        new XenAddress(nodes().domid(), nodes().device(), i),
                        nodes().backendDomid(),
                        Objects.requireNonNull(allocator),
                        Objects.requireNonNull(events),
                        options.abi().layout(),
                        options.ringPages(),
                        options.dataPages());
                queues.add(queue);
                queue.pipeline().addLast(new ChannelInboundHandlerAdapter());
                registered.add(completable(loop.register(queue)));
            }
        } catch (TapException e) {
            return CompletableFuture.failedFuture(e);
        }
        return CompletableFuture.allOf(registered.toArray(CompletableFuture[]::new));
    }

    private void lookAtGeometry() {
        nodes().geometry().thenAccept(geometry -> queues.forEach(queue -> queue.look(geometry)));
    }

    /** Returns the device's nodes. */
    public XenDeviceNodes nodes() {
        return Objects.requireNonNull(nodes, "not connected");
    }

    /** Returns its rings. */
    public List<XenFrontendChannel> queues() {
        return List.copyOf(queues);
    }

    /** Returns what the disk looks like now. */
    public FrontGeometry geometry() {
        return queues.get(0).geometry();
    }

    /** Lets the backend end what is in flight, closes the rings and removes the device. Once; later calls give the same future. */
    public CompletableFuture<Void> disconnect() {
        CompletableFuture<Void> result = new CompletableFuture<>();
        loop.execute(() -> {
            if (closing == null) {
                closing = disconnectNow();
            }
            closing.whenComplete((ok, failure) -> {
                if (failure == null) {
                    result.complete(null);
                } else {
                    result.completeExceptionally(causeOf(failure));
                }
            });
        });
        return result;
    }

    private CompletableFuture<Void> disconnectNow() {
        XenDeviceNodes made = nodes;
        CompletableFuture<Void> gone = made == null
                ? CompletableFuture.completedFuture(null)
                : made.close()
                        .handle((state, failure) -> closeRings().thenCompose(closed -> made.say(XenbusState.CLOSED)))
                        .thenCompose(said -> said)
                        .thenCompose(said -> made.awaitBackend(List.of(XenbusState.CLOSED)))
                        .handle((state, failure) -> made.remove())
                        .thenCompose(removed -> removed);
        return gone.handle((ok, failure) -> {
                    closeDevices();
                    CompletableFuture<Void> ended = store.close();
                    return failure == null
                            ? ended
                            : ended.thenCompose(done -> CompletableFuture.<Void>failedFuture(causeOf(failure)));
                })
                .thenCompose(ended -> ended);
    }

    private CompletableFuture<Void> closeRings() {
        List<CompletableFuture<Void>> closed = new ArrayList<>();
        queues.forEach(queue -> closed.add(completable(queue.close())));
        return CompletableFuture.allOf(closed.toArray(CompletableFuture[]::new));
    }

    private void closeDevices() {
        if (events != null) {
            events.close();
        }
        if (allocator != null) {
            allocator.close();
        }
    }

    /** As {@link #disconnect}, and waits for it; not on the loop. */
    @Override
    public void close() {
        disconnect().orTimeout(CLOSE_SECONDS, TimeUnit.SECONDS).join();
    }
}

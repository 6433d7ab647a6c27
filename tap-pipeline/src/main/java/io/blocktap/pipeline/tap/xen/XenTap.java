package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.transport.TapException;
import io.blocktap.transport.xen.EventChannels;
import io.blocktap.transport.xen.GrantDevice;
import io.blocktap.transport.xen.RingTables;
import io.blocktap.transport.xen.XenAddress;
import io.blocktap.transport.xen.store.XenStore;
import io.blocktap.transport.xen.store.XenStoreConfig;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import io.blocktap.transport.xen.store.XenStoreListener;
import io.blocktap.transport.xen.store.XenStorePath;
import io.netty.channel.EventLoop;
import io.netty.util.concurrent.EventExecutor;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Serves the devices in one backend directory of xenstore. Each is a {@link XenBackend} with a life of its own.
 *
 * <p>Everything about xenstore happens on one event loop, the first; rings are spread over all. The end of the tap leaves the nodes as they are: guests wait for the next
 * backend, which goes on with the same rings. Any thread.
 */
final class XenTap implements Tap {
    static final Logger LOG = LoggerFactory.getLogger("io.blocktap.xen");

    private static final int OPEN_SECONDS = 10;

    private final XenSettings settings;
    private final RingTables tables;
    private final DiskRegistry disks;
    private final TapLoops loops;
    private final EventLoop control;
    private final GrantDevice grants;
    private final Map<EventLoop, EventChannels> events = new HashMap<>();
    // On the control loop.
    private final Map<String, XenBackend> backends = new HashMap<>();
    private boolean stopping;

    @SuppressWarnings("NullAway.Init") // by start
    private XenStore store;

    @SuppressWarnings("NullAway.Init") // by start
    private XenStorePath directory;

    // Set by open, before anybody else has the tap.
    private @Nullable StatusFile status;
    private @Nullable TapdiskStats stats;

    private XenTap(XenSettings settings, RingTables tables, DiskRegistry disks, TapLoops loops, GrantDevice grants) {
        this.settings = settings;
        this.tables = tables;
        this.disks = disks;
        this.loops = loops;
        this.grants = grants;
        this.control = (EventLoop) loops.group().iterator().next();
    }

    /** Opens the devices of Xen and begins to watch. May wait. */
    static XenTap open(XenSettings settings, DiskRegistry disks, TapLoops loops) throws StageException {
        return open(settings, disks, loops, XenMachine.THIS);
    }

    static XenTap open(XenSettings settings, DiskRegistry disks, TapLoops loops, XenMachine machine)
            throws StageException {
        GrantDevice grants;
        RingTables tables;
        try {
            tables = RingTables.open(settings.stateFolder(), settings.kind());
            grants = machine.openGrants();
        } catch (TapException e) {
            throw new StageException("xen: " + e.getMessage(), e);
        }
        XenTap tap = new XenTap(settings, tables, disks, loops, grants);
        boolean isOpen = false;
        try {
            for (EventExecutor loop : loops.group()) {
                EventLoop eventLoop = (EventLoop) loop;
                tap.events.put(eventLoop, machine.openEvents(eventLoop).get(OPEN_SECONDS, TimeUnit.SECONDS));
            }
            CompletableFuture.supplyAsync(() -> tap.start(settings.kind(), machine), tap.control)
                    .thenCompose(started -> started)
                    .get(OPEN_SECONDS, TimeUnit.SECONDS);
            settings.statusFolder()
                    .ifPresent(folder -> tap.status = new StatusFile(folder, settings.kind(), tap::deviceStatus));
            settings.statsFolder().ifPresent(folder -> tap.stats = new TapdiskStats(folder, tap::deviceStatus));
            isOpen = true;
            return tap;
        } catch (ExecutionException e) {
            Throwable cause = causeOf(e.getCause() == null ? e : e.getCause());
            throw new StageException("xen: " + cause.getMessage(), cause);
        } catch (TimeoutException e) {
            throw new StageException("xen: xenstored does not answer within " + OPEN_SECONDS + " s", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new StageException("xen: interrupted", e);
        } finally {
            if (!isOpen) {
                tap.closeDevices();
            }
        }
    }

    private CompletableFuture<Void> start(String kind, XenMachine machine) {
        XenStoreEndpoint endpoint;
        try {
            endpoint = machine.findStore();
        } catch (TapException e) {
            return CompletableFuture.failedFuture(e);
        }
        return XenStore.connect(control, endpoint, XenStoreConfig.DEFAULT, new StoreListener())
                .thenCompose(opened -> {
                    store = opened;
                    return opened.readIfPresent(XenStorePath.of("domid"));
                })
                .thenCompose(domid -> {
                    directory =
                            XenStorePath.of("/local/domain/" + domid.orElse("0").strip() + "/backend/" + kind);
                    return store.watch(directory, this::changed);
                })
                .thenAccept(watch -> removeOldTables());
    }

    /** Removes the tables of devices that are gone: their guests ended while nobody served them. */
    private void removeOldTables() {
        try {
            for (XenAddress ring : tables.list()) {
                store.readIfPresent(directory.child(ring.domid() + "/" + ring.device() + "/frontend"))
                        .thenAccept(there -> {
                            if (there.isEmpty()) {
                                removeTable(ring);
                            }
                        });
            }
        } catch (IOException e) {
            LOG.warn("old tables of requests in flight are not removed: {}", e.toString());
        }
    }

    private void removeTable(XenAddress ring) {
        try {
            tables.remove(ring);
        } catch (IOException e) {
            LOG.warn("{}: its old table of requests in flight is not removed: {}", ring, e.toString());
        }
    }

    private final class StoreListener implements XenStoreListener {
        @Override
        public void disconnected(IOException cause) {
            LOG.warn("{}; rings are served on, guests can come and go when it is back", cause.getMessage());
        }

        @Override
        public void reconnected() {
            LOG.info("xenstore is back");
            backends.values().forEach(XenBackend::look);
        }

        @Override
        public void ended(IOException cause) {
            LOG.error(
                    "{}; rings are served on, but no guest can come or go until blocktap is started again",
                    cause.getMessage());
        }
    }

    /** Returns what a future really failed with. */
    static Throwable causeOf(Throwable failure) {
        return failure instanceof CompletionException && failure.getCause() != null ? failure.getCause() : failure;
    }

    // ---- devices, on the control loop

    private void changed(XenStorePath path) {
        if (stopping || !path.isAtOrBelow(directory)) {
            return;
        }
        // DIRECTORY/DOMID/DEVICE[/...]
        String[] below =
                path.toString().substring(directory.toString().length()).split("/", 4);
        if (below.length >= 3) {
            device(below[1], below[2]);
        } else {
            // The directory or a guest's part of it came or went: what was below it tells nothing of its own.
            backends.values().forEach(XenBackend::look);
            listGuests();
        }
    }

    private void listGuests() {
        store.list(directory).whenComplete((guests, failure) -> {
            for (String guest : failure == null ? guests : List.<String>of()) {
                store.list(directory.child(guest)).whenComplete((devices, gone) -> {
                    for (String device : gone == null ? devices : List.<String>of()) {
                        device(guest, device);
                    }
                });
            }
        });
    }

    private void device(String guest, String device) {
        if (!isNumber(guest) || !isNumber(device) || stopping) {
            return;
        }
        backends.computeIfAbsent(
                        guest + "/" + device,
                        key -> new XenBackend(
                                this, directory.child(key), Integer.parseInt(guest), Integer.parseInt(device)))
                .look();
    }

    private static boolean isNumber(String text) {
        return text.length() <= 9 && !text.isEmpty() && text.chars().allMatch(c -> c >= '0' && c <= '9');
    }

    // ---- for the backends

    XenStore store() {
        return store;
    }

    EventLoop control() {
        return control;
    }

    int maxQueues() {
        return settings.maxQueues();
    }

    XenSettings settings() {
        return settings;
    }

    DiskRegistry disks() {
        return disks;
    }

    RingTables tables() {
        return tables;
    }

    GrantDevice grants() {
        return grants;
    }

    boolean isStopping() {
        return stopping;
    }

    EventChannels events(EventLoop loop) {
        EventChannels present = events.get(loop);
        if (present == null) {
            throw new IllegalStateException("not one of the tap's loops: " + loop);
        }
        return present;
    }

    /** Returns the loop for another ring, in turn. */
    EventLoop nextLoop() {
        return loops.group().next();
    }

    void forget(XenBackend backend) {
        backends.values().remove(backend);
    }

    /** Asks what is connected, and how it fares. Any thread. */
    private CompletableFuture<List<DeviceStatus>> deviceStatus() {
        return CompletableFuture.supplyAsync(
                        () -> {
                            List<CompletableFuture<Optional<DeviceStatus>>> all = new ArrayList<>();
                            backends.values().forEach(backend -> all.add(backend.status()));
                            return FrontendNodes.all(all);
                        },
                        control)
                .thenCompose(asked -> asked)
                .thenApply(found -> found.stream().flatMap(Optional::stream).toList());
    }

    // ---- the tap

    @Override
    public List<String> uris() {
        return List.of("xen:" + directory);
    }

    @Override
    public CompletableFuture<Void> stopTaking() {
        return CompletableFuture.supplyAsync(
                        () -> {
                            stopping = true;
                            List<CompletableFuture<Void>> all = new ArrayList<>();
                            backends.values().forEach(backend -> all.add(backend.stopTaking()));
                            return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
                        },
                        control)
                .thenCompose(stopped -> stopped);
    }

    @Override
    public CompletableFuture<Void> close() {
        return CompletableFuture.supplyAsync(
                        () -> {
                            stopping = true;
                            List<CompletableFuture<Void>> all = new ArrayList<>();
                            backends.values().forEach(backend -> all.add(backend.closeRings()));
                            return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
                        },
                        control)
                .thenCompose(closed -> closed)
                .thenCompose(closed -> store.close())
                .whenComplete((ok, failure) -> closeDevices());
    }

    private void closeDevices() {
        StatusFile file = status;
        if (file != null) {
            file.close();
        }
        TapdiskStats files = stats;
        if (files != null) {
            files.close();
        }
        events.values().forEach(EventChannels::close);
        grants.close();
    }
}

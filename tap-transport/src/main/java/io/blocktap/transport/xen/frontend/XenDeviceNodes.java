package io.blocktap.transport.xen.frontend;

import io.blocktap.transport.Printable;
import io.blocktap.transport.TapException;
import io.blocktap.transport.frontend.FrontGeometry;
import io.blocktap.transport.xen.XenRing;
import io.blocktap.transport.xen.store.Watch;
import io.blocktap.transport.xen.store.XenStore;
import io.blocktap.transport.xen.store.XenStoreNodes;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenStoreTransaction;
import io.blocktap.transport.xen.store.XenbusState;
import io.netty.util.concurrent.ScheduledFuture;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The nodes of one device whose frontend is this program: makes them as a toolstack does, plays the frontend's part in them, and removes them.
 *
 * <p>The frontend's nodes are not below {@code device}, where the kernel of this domain would look for devices of its own, but at {@code
 * /local/domain/SELF/blocktap/frontend/DEVICE}; so the driver xen-blkfront, loaded or not, never takes one. For a backend in the same domain: no permissions are set.
 *
 * <p>Threads: the loop of the store; the methods can be called from any. Source: Xen {@code io/blkif.h} and {@code io/xenbus.h}.
 */
public final class XenDeviceNodes {
    /** Numbers that no toolstack gives: xvd disks from 65000 on, {@code 1 << 28 | disk << 8}. */
    private static final int FIRST_DEVICE = 1 << 28 | 65000 << 8;

    private static final int DEVICE_STEP = 1 << 8;
    private static final int MOST_DEVICES = 256;
    private static final long AWAIT_SECONDS = 30;
    private static final int INFO_READ_ONLY = 4;
    private static final Pattern BACKEND_DIRECTORY = Pattern.compile("/local/domain/(\\d{1,5})/backend/[a-z0-9-]+");

    private final XenStore store;
    private final int backendDomid;
    private final int domid;
    private final int device;
    private final XenStorePath backend;
    private final XenStorePath frontend;
    private final List<Awaited> awaited = new ArrayList<>();
    private Runnable onBackendChange = () -> {};
    private @Nullable Watch watch;

    /** Somebody waits for one of these states. */
    private record Awaited(
            List<XenbusState> states, CompletableFuture<XenbusState> reached, ScheduledFuture<?> timeout) {}

    private XenDeviceNodes(XenStore store, XenStorePath directory, int backendDomid, int domid, int device) {
        this.store = store;
        this.backendDomid = backendDomid;
        this.domid = domid;
        this.device = device;
        this.backend = directory.child(domid).child(device);
        this.frontend = XenStorePath.of("/local/domain/" + domid + "/blocktap/frontend/" + device);
    }

    /**
     * Makes both sides' nodes of a new device, in one transaction, and begins to watch the backend.
     *
     * @param store stays owned by the caller
     * @param directory the backend's, for example {@code /local/domain/0/backend/tap}
     * @param params names the disk; empty for the default one
     */
    public static CompletableFuture<XenDeviceNodes> create(XenStore store, XenStorePath directory, String params) {
        Matcher matcher = BACKEND_DIRECTORY.matcher(directory.toString());
        if (!matcher.matches()) {
            return CompletableFuture.failedFuture(new TapException(
                    "'" + directory + "' is no backend directory; one is /local/domain/0/backend/tap"));
        }
        int backendDomid = Integer.parseInt(matcher.group(1));
        return store.read(XenStorePath.of("domid"))
                .thenCompose(domid -> store.transaction(
                        view -> new Maker(store, directory, backendDomid, domid, params).make(view, 0)))
                .thenCompose(nodes -> store.watch(nodes.backend.child("state"), changed -> nodes.look())
                        .thenApply(watch -> {
                            nodes.watch = watch;
                            return nodes;
                        }));
    }

    /** Makes the nodes, with the first number that is free. */
    private record Maker(XenStore store, XenStorePath directory, int backendDomid, String domid, String params) {
        CompletableFuture<XenDeviceNodes> make(XenStoreTransaction view, int attempt) {
            XenDeviceNodes nodes = new XenDeviceNodes(
                    store,
                    directory,
                    backendDomid,
                    Integer.parseInt(domid.strip()),
                    FIRST_DEVICE + attempt * DEVICE_STEP);
            return view.readIfPresent(nodes.backend.child("frontend"))
                    .thenCombine(
                            view.readIfPresent(nodes.frontend.child("backend")),
                            (its, ours) -> its.isEmpty() && ours.isEmpty())
                    .thenCompose(isFree -> {
                        if (isFree) {
                            return nodes.writeAll(view, params).thenApply(ok -> nodes);
                        }
                        return attempt + 1 < MOST_DEVICES
                                ? make(view, attempt + 1)
                                : CompletableFuture.failedFuture(
                                        new TapException(MOST_DEVICES + " devices of earlier runs are in " + directory
                                                + "; remove those that nobody uses: xenstore-rm"));
                    });
        }
    }

    private CompletableFuture<Void> writeAll(XenStoreTransaction view, String params) {
        Map<String, String> its = new LinkedHashMap<>();
        its.put("frontend", frontend.toString());
        its.put("frontend-id", Integer.toString(domid));
        its.put("online", "1");
        its.put("removable", "0");
        its.put("mode", "w");
        its.put("device-type", "disk");
        its.put("params", params);
        its.put("state", XenbusState.INITIALISING.node());
        Map<String, String> ours = new LinkedHashMap<>();
        ours.put("backend", backend.toString());
        ours.put("backend-id", Integer.toString(backendDomid));
        ours.put("virtual-device", Integer.toString(device));
        ours.put("device-type", "disk");
        ours.put("state", XenbusState.INITIALISING.node());
        return CompletableFuture.allOf(write(view, backend, its), write(view, frontend, ours));
    }

    private static CompletableFuture<Void> write(
            XenStoreNodes view, XenStorePath directory, Map<String, String> values) {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        values.forEach((name, value) -> all.add(view.write(directory.child(name), value)));
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }

    /** Returns the backend's directory of this device. */
    public XenStorePath backend() {
        return backend;
    }

    /** Returns the frontend's directory. */
    public XenStorePath frontend() {
        return frontend;
    }

    /** Returns the domain of the backend. */
    public int backendDomid() {
        return backendDomid;
    }

    /** Returns this domain. */
    public int domid() {
        return domid;
    }

    /** Returns the number of the virtual device. */
    public int device() {
        return device;
    }

    /** Calls the task on the loop whenever the backend may have changed. One task; a later one takes its place. */
    void onBackendChange(Runnable task) {
        onBackendChange = task;
    }

    // ---- the backend's state

    /**
     * Waits until the backend is in one of these states.
     *
     * @return completes on the loop with the state; fails with the backend's own words if it has closed, and after 30 seconds
     */
    public CompletableFuture<XenbusState> awaitBackend(List<XenbusState> states) {
        CompletableFuture<XenbusState> reached = new CompletableFuture<>();
        store.loop().execute(() -> {
            ScheduledFuture<?> timeout = store.loop()
                    .schedule(
                            () -> reached.completeExceptionally(new TapException("the backend at " + backend
                                    + " is not in state " + states + " after " + AWAIT_SECONDS
                                    + " s; is blocktap serving this directory?")),
                            AWAIT_SECONDS,
                            TimeUnit.SECONDS);
            awaited.add(new Awaited(states, reached, timeout));
            look();
        });
        return reached;
    }

    private void look() {
        onBackendChange.run();
        if (awaited.isEmpty()) {
            return;
        }
        store.readIfPresent(backend.child("state"))
                .thenCombine(store.readIfPresent(backend.child("error")), (state, error) -> {
                    settle(XenbusState.of(state.orElse("")), error.orElse("no reason is told"));
                    return state;
                })
                .exceptionally(failure -> {
                    awaited.forEach(each -> each.reached.completeExceptionally(failure));
                    return java.util.Optional.empty();
                });
    }

    private void settle(XenbusState state, String error) {
        for (Awaited each : List.copyOf(awaited)) {
            boolean isWanted = each.states.contains(state);
            if (isWanted || state == XenbusState.CLOSED || each.reached.isDone()) {
                awaited.remove(each);
                each.timeout.cancel(false);
                if (isWanted) {
                    each.reached.complete(state);
                } else {
                    each.reached.completeExceptionally(
                            new TapException("the backend at " + backend + " has closed: " + Printable.of(error)));
                }
            }
        }
    }

    // ---- the frontend's part

    /** Writes the frontend's state. */
    public CompletableFuture<Void> say(XenbusState state) {
        return store.write(frontend.child("state"), state.node());
    }

    /**
     * Publishes rings, and state Initialised, in one transaction.
     *
     * @param protocol the name of the ABI, for example {@code x86_64-abi}
     * @param rings at least one; all of as many pages
     */
    public CompletableFuture<Void> publish(String protocol, List<XenRing> rings) {
        Map<String, String> values = new LinkedHashMap<>();
        values.put("protocol", protocol);
        int pages = rings.get(0).grefs().size();
        if (pages > 1) {
            values.put("ring-page-order", Integer.toString(Integer.numberOfTrailingZeros(pages)));
        }
        if (rings.size() > 1) {
            values.put("multi-queue-num-queues", Integer.toString(rings.size()));
        }
        for (int queue = 0; queue < rings.size(); queue++) {
            XenRing ring = rings.get(queue);
            String prefix = rings.size() > 1 ? "queue-" + queue + "/" : "";
            for (int page = 0; page < pages; page++) {
                values.put(
                        prefix + "ring-ref" + (pages > 1 ? page : ""),
                        Integer.toUnsignedString(ring.grefs().get(page)));
            }
            values.put(prefix + "event-channel", Integer.toString(ring.eventChannel()));
        }
        values.put("state", XenbusState.INITIALISED.node());
        return store.transaction(view -> write(view, frontend, values));
    }

    /** Reads what the backend says of the disk; once it is connected. */
    public CompletableFuture<FrontGeometry> geometry() {
        Map<String, CompletableFuture<String>> found = new LinkedHashMap<>();
        for (String name : List.of(
                "sectors",
                "sector-size",
                "physical-sector-size",
                "info",
                "feature-flush-cache",
                "feature-discard",
                "discard-granularity",
                "feature-max-indirect-segments")) {
            found.put(name, store.readIfPresent(backend.child(name)).thenApply(value -> value.orElse("0")));
        }
        return CompletableFuture.allOf(found.values().toArray(CompletableFuture[]::new))
                .thenApply(ok -> {
                    Map<String, Long> values = new LinkedHashMap<>();
                    found.forEach((name, value) ->
                            values.put(name, Long.parseLong(value.join().strip())));
                    return geometry(values);
                });
    }

    private static FrontGeometry geometry(Map<String, Long> values) {
        int flags = (values.getOrDefault("info", 0L) & INFO_READ_ONLY) != 0 ? FrontGeometry.READ_ONLY : 0;
        flags |= values.getOrDefault("feature-flush-cache", 0L) == 1 ? FrontGeometry.FLUSH : 0;
        flags |= values.getOrDefault("feature-discard", 0L) == 1 ? FrontGeometry.DISCARD : 0;
        return new FrontGeometry(
                values.getOrDefault("sectors", 0L),
                values.getOrDefault("sector-size", 0L).intValue(),
                values.getOrDefault("physical-sector-size", 0L).intValue(),
                flags,
                values.getOrDefault("feature-max-indirect-segments", 0L).intValue(),
                values.getOrDefault("discard-granularity", 0L).intValue());
    }

    // ---- the end

    /**
     * Asks for the end: the toolstack's and the frontend's part of it.
     *
     * @return completes when the backend has let go of the rings
     */
    public CompletableFuture<XenbusState> close() {
        return store.transaction(view -> view.write(backend.child("online"), "0")
                        .thenCompose(ok -> view.write(frontend.child("state"), XenbusState.CLOSING.node())))
                .thenCompose(ok -> awaitBackend(List.of(XenbusState.CLOSING, XenbusState.CLOSED)));
    }

    /** Removes all nodes, and stops watching. */
    public CompletableFuture<Void> remove() {
        CompletableFuture<Void> unwatched = watch == null ? CompletableFuture.completedFuture(null) : watch.close();
        return unwatched.thenCompose(
                ok -> store.transaction(view -> view.remove(frontend).thenCompose(done -> view.remove(backend))));
    }
}

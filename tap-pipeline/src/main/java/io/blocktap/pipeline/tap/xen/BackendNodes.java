package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.codec.blkif.BlkifFeatures;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.xen.store.XenStore;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenStoreTransaction;
import io.blocktap.transport.xen.store.XenbusState;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * The backend's nodes of one device: what the toolstack has written, and what we tell it and the guest. Names and values as Xen's {@code io/blkif.h} has them.
 *
 * <p>Nothing is written if the device is gone meanwhile: it must not come back as a node without the others. Threads: the tap's control loop.
 */
final class BackendNodes {
    private static final int INFO_CDROM = 1;
    private static final int INFO_REMOVABLE = 2;
    private static final int INFO_READ_ONLY = 4;
    private static final int SECTOR_BYTES = 1 << Blkif.SECTOR_SHIFT;

    private final XenStore store;
    private final XenStorePath path;

    /** What the toolstack wants; and how we stand. */
    record Wanted(
            Optional<String> frontend,
            Optional<String> frontendId,
            XenbusState state,
            boolean isOnline,
            String mode,
            String params,
            String deviceType,
            boolean isRemovable,
            boolean isReady) {}

    BackendNodes(XenStore store, XenStorePath path) {
        this.store = store;
        this.path = path;
    }

    /** Reads what the toolstack wants. */
    CompletableFuture<Wanted> read() {
        Map<String, CompletableFuture<Optional<String>>> found = new LinkedHashMap<>();
        for (String name : List.of(
                "frontend",
                "frontend-id",
                "state",
                "online",
                "mode",
                "params",
                "device-type",
                "removable",
                "script",
                "hotplug-status")) {
            found.put(name, store.readIfPresent(path.child(name)));
        }
        return FrontendNodes.all(new ArrayList<>(found.values())).thenApply(ok -> {
            Map<String, Optional<String>> nodes = new LinkedHashMap<>();
            found.forEach((name, value) -> nodes.put(name, value.join()));
            return new Wanted(
                    value(nodes, "frontend"),
                    value(nodes, "frontend-id"),
                    XenbusState.of(value(nodes, "state").orElse("")),
                    !value(nodes, "online").orElse("1").equals("0"),
                    value(nodes, "mode").orElse("r"),
                    value(nodes, "params").orElse(""),
                    value(nodes, "device-type").orElse("disk"),
                    value(nodes, "removable").orElse("0").equals("1"),
                    value(nodes, "script").isEmpty()
                            || value(nodes, "hotplug-status").orElse("").equals("connected"));
        });
    }

    private static Optional<String> value(Map<String, Optional<String>> nodes, String name) {
        Optional<String> value = nodes.get(name);
        return value == null ? Optional.empty() : value;
    }

    /**
     * Writes values and the own state, all at once. An offer or a connection that took long does not take back what the toolstack has asked for meanwhile: in state Closing
     * neither is written.
     */
    CompletableFuture<Void> write(Map<String, String> values, XenbusState state) {
        boolean isForward = state == XenbusState.INIT_WAIT || state == XenbusState.CONNECTED;
        return unlessGone(view -> !isForward
                ? writeNow(view, values, state)
                : view.readIfPresent(path.child("state"))
                        .thenCompose(now -> XenbusState.of(now.orElse("")) == XenbusState.CLOSING
                                ? CompletableFuture.<Void>completedFuture(null)
                                : view.remove(path.child("error")) // of an earlier attempt
                                        .thenCompose(ok -> writeNow(view, values, state))));
    }

    private CompletableFuture<Void> writeNow(XenStoreTransaction view, Map<String, String> values, XenbusState state) {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        values.forEach((name, value) -> all.add(view.write(path.child(name), value)));
        all.add(view.write(path.child("state"), state.node()));
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }

    /**
     * Tells a connected guest that its disk has another size: Linux' frontend reads it again when the state is written, even if it is the same (blkif.h has no other sign; both
     * at once, as Linux' own backend does it). In any other state nothing is written: the toolstack may have asked for the end by writing Closing, and a guest that
     * connects later is told the size of that time.
     *
     * @param geometry asked for in each attempt: of two changes at once, the one that is written last may have begun first
     */
    CompletableFuture<Void> resize(Supplier<Geometry> geometry) {
        return store.transaction((XenStoreTransaction view) -> view.readIfPresent(path.child("state"))
                .thenCompose(state -> XenbusState.of(state.orElse("")) != XenbusState.CONNECTED
                        ? CompletableFuture.<Void>completedFuture(null)
                        : CompletableFuture.allOf(
                                view.write(
                                        path.child("sectors"),
                                        Objects.requireNonNull(
                                                size(geometry.get()).get("sectors"))),
                                view.write(path.child("state"), XenbusState.CONNECTED.node()))));
    }

    /**
     * Tells the toolstack what is wrong, if it was not told yet: each write has the device looked at again.
     *
     * @param closes whether that is the end; if not, the states stay, and the guest waits
     */
    CompletableFuture<Void> writeError(String message, boolean closes) {
        Map<String, String> values =
                closes ? Map.of("error", message, "state", XenbusState.CLOSED.node()) : Map.of("error", message);
        return have(values)
                .thenCompose(isTold -> isTold
                        ? CompletableFuture.<Void>completedFuture(null)
                        : unlessGone(view -> view.write(path.child("error"), message)
                                .thenCompose(ok -> closes
                                        ? view.write(path.child("state"), XenbusState.CLOSED.node())
                                        : CompletableFuture.<Void>completedFuture(null))));
    }

    /** Writes one value, if it is another one. */
    CompletableFuture<Void> tell(String name, String value) {
        return have(Map.of(name, value))
                .thenCompose(isTold -> isTold
                        ? CompletableFuture.<Void>completedFuture(null)
                        : unlessGone(view -> view.write(path.child(name), value)));
    }

    /** Removes what {@link #writeError} has told, in this process or an earlier one; writes nothing if there is nothing. */
    CompletableFuture<Void> takeBackError() {
        XenStorePath error = path.child("error");
        return store.readIfPresent(error)
                .thenCompose(told -> told.isEmpty()
                        ? CompletableFuture.<Void>completedFuture(null)
                        : unlessGone(view -> view.remove(error)));
    }

    private CompletableFuture<Void> unlessGone(Function<XenStoreTransaction, CompletableFuture<Void>> change) {
        return store.transaction((XenStoreTransaction view) -> view.readIfPresent(path.child("frontend"))
                .thenCompose(
                        there -> there.isEmpty() ? CompletableFuture.<Void>completedFuture(null) : change.apply(view)));
    }

    /** Completes with whether the nodes have these values already. */
    CompletableFuture<Boolean> have(Map<String, String> values) {
        List<CompletableFuture<Boolean>> all = new ArrayList<>();
        values.forEach((name, value) -> all.add(store.readIfPresent(path.child(name))
                .thenApply(present -> present.orElse("").equals(value))));
        return FrontendNodes.all(all).thenApply(same -> !same.contains(false));
    }

    /** What a guest can use; to be offered before it connects. */
    static Map<String, String> features(Geometry geometry) {
        Map<String, String> values = new LinkedHashMap<>();
        values.put("feature-flush-cache", geometry.has(Feature.FLUSH) ? "1" : "0");
        values.put("feature-barrier", "0");
        values.put("feature-persistent", "0");
        values.put("feature-max-indirect-segments", Integer.toString(BlkifFeatures.MAX_INDIRECT_SEGMENTS));
        values.put("feature-discard", geometry.has(Feature.DISCARD) ? "1" : "0");
        if (geometry.has(Feature.DISCARD)) {
            values.put(
                    "discard-granularity",
                    Integer.toString(Math.max(SECTOR_BYTES, geometry.discardGranularityBytes())));
            values.put("discard-alignment", "0");
            values.put("discard-secure", "0");
        }
        return values;
    }

    /** How large the disk is; may change while a guest is connected. */
    static Map<String, String> size(Geometry geometry) {
        return Map.of("sectors", Long.toString(geometry.sizeBytes() >> Blkif.SECTOR_SHIFT));
    }

    /** All that a guest is told of its disk when it connects. */
    static Map<String, String> disk(Geometry geometry, Wanted wanted, boolean isReadOnly) {
        Map<String, String> values = features(geometry);
        values.putAll(size(geometry));
        values.put("sector-size", Integer.toString(SECTOR_BYTES));
        values.put("physical-sector-size", Integer.toString(geometry.physicalBlockBytes()));
        values.put(
                "info",
                Integer.toString((wanted.deviceType().equals("cdrom") ? INFO_CDROM : 0)
                        | (wanted.isRemovable() ? INFO_REMOVABLE : 0)
                        | (isReadOnly ? INFO_READ_ONLY : 0)));
        return values;
    }
}

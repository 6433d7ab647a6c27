package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.codec.blkif.BlkifFeatures;
import io.blocktap.transport.LogLimiter;
import io.blocktap.transport.Printable;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.xen.store.Watch;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenStoreTransaction;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.event.Level;

/**
 * The backend of one device of one guest: looks at both sides' nodes, asks {@link XenbusPlan} for the next step, takes it, and looks again, one step at a time.
 *
 * <p>Threads: the tap's control loop; each ring has an event loop of its own.
 */
final class XenBackend {
    private static final int INFO_CDROM = 1;
    private static final int INFO_REMOVABLE = 2;
    private static final int INFO_READ_ONLY = 4;
    private static final int STREAM_ANSWER_MILLIS = 250;
    private static final int SECTOR_BYTES = 1 << Blkif.SECTOR_SHIFT;

    /** How often, a second apart, rings of a running guest are tried: the process that had them may not have ended yet. */
    private static final int TAKEOVER_TRIES = 30;

    private final XenTap tap;
    private final XenStorePath path;
    private final int domid;
    private final int device;
    private final LookPace pace = new LookPace(System::nanoTime);
    private final LogLimiter slowed = new LogLimiter(TimeUnit.MINUTES.toNanos(1));
    private boolean isLooking;
    private boolean lookAgain;
    private boolean isOver;
    private @Nullable XenStorePath frontend;
    private @Nullable Watch frontendWatch;
    private final XenRings rings;
    private final DeviceDisk deviceDisk;
    private @Nullable Disk disk;
    private @Nullable Consumer<Geometry> resized;
    private String lastError = "";
    private boolean isTakingOver;
    private int takeoverTries;

    /** The nodes of the toolstack. */
    private record Nodes(
            Optional<String> frontend,
            Optional<String> frontendId,
            XenbusState state,
            boolean isOnline,
            String mode,
            String params,
            String deviceType,
            boolean isRemovable,
            boolean isReady) {}

    XenBackend(XenTap tap, XenStorePath path, int domid, int device) {
        this.tap = tap;
        this.path = path;
        this.domid = domid;
        this.device = device;
        this.rings = new XenRings(tap, domid, device);
        this.deviceDisk = new DeviceDisk(tap, "xen " + domid + "/" + device);
    }

    // ---- looking

    /** Something may have changed. */
    void look() {
        if (isOver || tap.isStopping()) {
            return;
        }
        if (isLooking) {
            lookAgain = true;
            return;
        }
        isLooking = true;
        long delayNanos = pace.nextDelayNanos();
        if (delayNanos == 0) {
            lookOnce();
            return;
        }
        if (slowed.count() > 0) {
            XenTap.LOG.warn("{}: its nodes change all the time; it is looked at 10 times a second", this);
        }
        tap.control().schedule(this::lookOnce, delayNanos, TimeUnit.NANOSECONDS);
    }

    private void lookOnce() {
        lookAgain = false;
        if (isOver || tap.isStopping()) {
            isLooking = false;
            return;
        }
        lookNow().whenComplete((wantsMore, failure) -> {
            isLooking = false;
            if (failure != null) {
                failed(XenTap.causeOf(failure));
            }
            if (lookAgain || failure == null && wantsMore) {
                look();
            }
        });
    }

    /** Looks and takes a step. Completes with whether there may be another one. */
    private CompletableFuture<Boolean> lookNow() {
        return nodes().thenCompose(nodes -> {
            if (nodes.frontend().isEmpty()) {
                return step(seen(nodes, XenbusState.UNKNOWN, true), nodes);
            }
            XenStorePath its = watchFrontend(nodes.frontend().get());
            return tap.store().readIfPresent(its.child("state")).thenCompose(state -> {
                XenbusState theirs = XenbusState.of(state.orElse(""));
                boolean mayDiffer =
                        rings.areServed() && (theirs == XenbusState.INITIALISED || theirs == XenbusState.CONNECTED);
                CompletableFuture<Boolean> same = mayDiffer
                        ? FrontendNodes.read(tap.store(), its, tap.maxQueues())
                                .handle((now, wrong) -> wrong == null && now.equals(rings.published()))
                        : CompletableFuture.completedFuture(true);
                return same.thenCompose(sameRings -> step(seen(nodes, theirs, sameRings), nodes));
            });
        });
    }

    private XenbusPlan.Seen seen(Nodes nodes, XenbusState frontendState, boolean sameRings) {
        return new XenbusPlan.Seen(
                nodes.frontend().isPresent(),
                nodes.state(),
                frontendState,
                nodes.isOnline(),
                nodes.isReady(),
                rings.areServed(),
                sameRings);
    }

    private CompletableFuture<Nodes> nodes() {
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
            found.put(name, tap.store().readIfPresent(path.child(name)));
        }
        return FrontendNodes.all(new ArrayList<>(found.values())).thenApply(ok -> {
            Map<String, Optional<String>> nodes = new LinkedHashMap<>();
            found.forEach((name, value) -> nodes.put(name, value.join()));
            return new Nodes(
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

    private XenStorePath watchFrontend(String node) {
        XenStorePath present = frontend;
        if (present != null && present.toString().equals(node)) {
            return present;
        }
        XenStorePath wanted = pathOfGuest(node);
        unwatchFrontend();
        frontend = wanted;
        tap.store().watch(wanted.child("state"), changed -> look()).whenComplete((watch, failure) -> {
            if (failure == null && isOver) {
                watch.close();
            } else if (failure == null) {
                frontendWatch = watch;
            }
        });
        return wanted;
    }

    private XenStorePath pathOfGuest(String node) {
        try {
            XenStorePath wanted = XenStorePath.of(node);
            if (wanted.isAtOrBelow(XenStorePath.of("/local/domain/" + domid))) {
                return wanted;
            }
        } catch (IllegalArgumentException e) {
            XenTap.LOG.debug("{}: {}", this, e.getMessage());
        }
        throw new CompletionException(new StageException(
                "its frontend is '" + Printable.of(node) + "', which does not belong to domain " + domid));
    }

    private void unwatchFrontend() {
        Watch watch = frontendWatch;
        frontendWatch = null;
        frontend = null;
        if (watch != null) {
            watch.close();
        }
    }

    // ---- steps

    private CompletableFuture<Boolean> step(XenbusPlan.Seen seen, Nodes nodes) {
        XenbusPlan.Step step = XenbusPlan.next(seen);
        XenTap.LOG.debug("{}: {}", this, step);
        return switch (step) {
            case NONE -> CompletableFuture.completedFuture(false);
            case OFFER -> offer(nodes).thenApply(ok -> true);
            case CONNECT -> connect(nodes, seen.frontend()).thenApply(ok -> true);
            case DISCONNECT -> drainRings().thenApply(ok -> true);
            case SAY_CONNECTED -> say(XenbusState.CONNECTED);
            case SAY_CLOSING -> say(XenbusState.CLOSING);
            case SAY_CLOSED -> releaseUnlessItComesBack(seen).thenCompose(ok -> say(XenbusState.CLOSED));
            case FORGET -> deviceDisk.release().handleAsync((ok, failure) -> forget(failure), tap.control());
        };
    }

    /** Who is told that it is closed may use what is below it, so files are flushed and closed before; but a guest that loads its driver anew keeps its disk. */
    private CompletableFuture<Void> releaseUnlessItComesBack(XenbusPlan.Seen seen) {
        return seen.isOnline() && seen.frontend() != XenbusState.UNKNOWN
                ? CompletableFuture.completedFuture(null)
                : deviceDisk.release();
    }

    /** Ends this backend, unless there is a new device of the same number meanwhile: then there is more to do. */
    private boolean forget(@Nullable Throwable failure) {
        if (failure != null) {
            XenTap.LOG.error("{}: {}", this, XenTap.causeOf(failure).getMessage());
        }
        unwatchFrontend();
        if (!lookAgain) {
            isOver = true;
            tap.forget(this);
        }
        return lookAgain;
    }

    /** Writes the own state, unless the device is gone meanwhile: it must not come back as a node without the others. */
    private CompletableFuture<Boolean> say(XenbusState state) {
        return write(Map.of(), state).thenApply(ok -> true);
    }

    private CompletableFuture<Void> write(Map<String, String> values, XenbusState state) {
        return tap.store()
                .transaction(view -> view.readIfPresent(path.child("frontend")).thenCompose(there -> {
                    if (there.isEmpty()) {
                        return CompletableFuture.<Void>completedFuture(null);
                    }
                    List<CompletableFuture<Void>> all = new ArrayList<>();
                    values.forEach((name, value) -> all.add(view.write(path.child(name), value)));
                    if (state == XenbusState.INIT_WAIT || state == XenbusState.CONNECTED) {
                        all.add(view.remove(path.child("error"))); // of an earlier attempt
                    }
                    all.add(view.write(path.child("state"), state.text()));
                    return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
                }));
    }

    private CompletableFuture<Disk> acquireDisk(Nodes nodes) {
        if (nodes.frontendId().isPresent() && !nodes.frontendId().get().strip().equals(Integer.toString(domid))) {
            return CompletableFuture.failedFuture(new StageException("its frontend-id is not " + domid));
        }
        return deviceDisk.acquire(nodes.params());
    }

    private CompletableFuture<Void> offer(Nodes nodes) {
        return acquireDisk(nodes).thenCompose(wanted -> {
            Map<String, String> values = features(wanted.geometry());
            values.put("max-ring-page-order", Integer.toString(FrontendNodes.MAX_PAGE_ORDER));
            values.put("multi-queue-max-queues", Integer.toString(tap.maxQueues()));
            if (tap.disks().find("").filter(standard -> standard == wanted).isPresent()) {
                // libxl gives QEMU nbd+unix:///?socket=THIS for the time before the guest has its own driver: always
                // the default export.
                tap.settings().nbdSocket().ifPresent(socket -> values.put("physical-device-path", socket.toString()));
            }
            return write(values, XenbusState.INIT_WAIT);
        });
    }

    private static Map<String, String> features(Geometry geometry) {
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

    private static Map<String, String> size(Geometry geometry) {
        return Map.of("sectors", Long.toString(geometry.sizeBytes() >> Blkif.SECTOR_SHIFT));
    }

    // ---- rings

    private CompletableFuture<Void> connect(Nodes nodes, XenbusState theirState) {
        isTakingOver = nodes.state() == XenbusState.CONNECTED;
        return acquireDisk(nodes).thenCompose(wanted -> connect(nodes, theirState, wanted));
    }

    private CompletableFuture<Void> connect(Nodes nodes, XenbusState theirState, Disk wanted) {
        boolean readOnly =
                wanted.geometry().has(Feature.READ_ONLY) || !nodes.mode().startsWith("w");
        if (!wanted.geometry().has(Feature.READ_ONLY) && readOnly) {
            return CompletableFuture.failedFuture(new StageException("mode=" + Printable.of(nodes.mode())
                    + ", but disk '" + wanted.name() + "' can be written; serve it read-only, or give access=rw"));
        }
        XenStorePath theirs = Objects.requireNonNull(frontend);
        return FrontendNodes.read(tap.store(), theirs, tap.maxQueues()).thenCompose(published -> {
            if (tap.isStopping()) {
                return CompletableFuture.completedFuture(null);
            }
            disk = wanted;
            return rings.serve(wanted, published)
                    .thenCompose(ok -> isTakingOver && theirState == XenbusState.CONNECTED
                            ? isTold(size(wanted.geometry()))
                            : CompletableFuture.completedFuture(false))
                    .thenCompose(isTold -> {
                        if (isTold) {
                            return CompletableFuture.<Void>completedFuture(null); // the guest need not notice
                        }
                        Map<String, String> values = features(wanted.geometry());
                        values.putAll(size(wanted.geometry()));
                        values.put("sector-size", Integer.toString(SECTOR_BYTES));
                        values.put(
                                "physical-sector-size",
                                Integer.toString(wanted.geometry().physicalBlockBytes()));
                        values.put(
                                "info",
                                Integer.toString((nodes.deviceType().equals("cdrom") ? INFO_CDROM : 0)
                                        | (nodes.isRemovable() ? INFO_REMOVABLE : 0)
                                        | (readOnly ? INFO_READ_ONLY : 0)));
                        return write(values, XenbusState.CONNECTED);
                    })
                    .thenRun(() -> {
                        lastError = "";
                        isTakingOver = false;
                        takeoverTries = 0;
                        XenTap.LOG
                                .atLevel(pace.isSlow() ? Level.DEBUG : Level.INFO)
                                .log(
                                        "{}: connected to disk '{}', {} ring(s) of {} page(s), {}",
                                        this,
                                        wanted.name(),
                                        published.size(),
                                        published.get(0).grefs().size(),
                                        published.get(0).layout());
                        Consumer<Geometry> listener = geometry -> tap.control().execute(() -> resize(geometry));
                        resized = listener;
                        wanted.onGeometryChange(listener);
                    })
                    .handle((ok, failure) -> failure == null
                            ? CompletableFuture.<Void>completedFuture(null)
                            : drainRings()
                                    .thenCompose(
                                            drained -> CompletableFuture.<Void>failedFuture(XenTap.causeOf(failure))))
                    .thenCompose(result -> result);
        });
    }

    /** Returns what is known of the device, if it is connected. */
    CompletableFuture<Optional<DeviceStatus>> status() {
        Disk used = disk;
        List<RequestStream> streams = rings.streams();
        if (used == null || streams.isEmpty()) {
            return CompletableFuture.completedFuture(Optional.empty());
        }
        List<CompletableFuture<Integer>> counts = new ArrayList<>();
        for (RequestStream stream : streams) {
            counts.add(CompletableFuture.supplyAsync(stream::inFlight, stream.eventLoop())
                    .completeOnTimeout(-1, STREAM_ANSWER_MILLIS, TimeUnit.MILLISECONDS));
        }
        return FrontendNodes.all(counts)
                .thenApply(found -> Optional.of(new DeviceStatus(
                        domid,
                        device,
                        used,
                        streams,
                        found.contains(-1)
                                ? -1
                                : found.stream().mapToInt(each -> each).sum())));
    }

    /** Completes with whether the nodes have these values already. */
    private CompletableFuture<Boolean> isTold(Map<String, String> values) {
        List<CompletableFuture<Boolean>> all = new ArrayList<>();
        values.forEach((name, value) -> all.add(tap.store()
                .readIfPresent(path.child(name))
                .thenApply(present -> present.orElse("").equals(value))));
        return FrontendNodes.all(all).thenApply(same -> !same.contains(false));
    }

    private void resize(Geometry geometry) {
        if (rings.areServed() && !tap.isStopping()) {
            // Linux' frontend reads the size again when the state is written, even if it is the same.
            write(size(geometry), XenbusState.CONNECTED).whenComplete((ok, failure) -> {
                if (failure != null) {
                    failed(XenTap.causeOf(failure));
                }
            });
        }
    }

    /** Takes no more requests. */
    CompletableFuture<Void> stopTaking() {
        return rings.stopTaking();
    }

    /** Answers what is in flight, and lets go of the rings. */
    private CompletableFuture<Void> drainRings() {
        stopListening();
        return rings.drain();
    }

    /** Lets go of the rings; what is answered later is dropped. */
    CompletableFuture<Void> closeRings() {
        stopListening();
        return rings.close();
    }

    private void stopListening() {
        Disk used = disk;
        Consumer<Geometry> listener = resized;
        disk = null;
        resized = null;
        if (used != null && listener != null) {
            used.removeGeometryListener(listener);
        }
    }

    // ---- failures

    /** Tells people in the log, and the toolstack in the device's {@code error} node. */
    private void failed(Throwable cause) {
        boolean guestWaits = isTakingOver && !rings.areServed();
        if (guestWaits && takeoverTries++ < TAKEOVER_TRIES) {
            tap.control().schedule(this::look, 1, TimeUnit.SECONDS);
        }
        String message = String.valueOf(cause.getMessage());
        if (message.equals(lastError)) {
            return;
        }
        lastError = message;
        if (pace.isSlow()) {
            XenTap.LOG.debug("{}: {}", this, message);
        } else if (cause instanceof RuntimeException) {
            XenTap.LOG.error("{}: {}", this, message, cause);
        } else {
            XenTap.LOG.error("{}: {}", this, message);
        }
        if (tap.isStopping() || rings.areServed()) {
            return; // what is connected stays so
        }
        tap.store()
                .transaction((XenStoreTransaction view) -> view.readIfPresent(path.child("frontend"))
                        .thenCompose(there -> there.isEmpty()
                                ? CompletableFuture.<Void>completedFuture(null)
                                : view.write(path.child("error"), message)
                                        .thenCompose(ok -> guestWaits // with its disk, until it can be served again
                                                ? CompletableFuture.<Void>completedFuture(null)
                                                : view.write(path.child("state"), XenbusState.CLOSED.text()))))
                .whenComplete((ok, failure) -> {
                    if (failure != null) {
                        XenTap.LOG.debug("{}: the error is not told: {}", this, failure.getMessage());
                    }
                });
    }

    @Override
    public String toString() {
        return "xen domain " + domid + " device " + device;
    }
}

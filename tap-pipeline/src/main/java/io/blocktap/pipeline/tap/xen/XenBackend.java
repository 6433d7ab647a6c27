package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.StageException;
import io.blocktap.transport.LogLimiter;
import io.blocktap.transport.Printable;
import io.blocktap.transport.xen.store.Watch;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenbusState;
import java.util.ArrayList;
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
    private static final int STREAM_ANSWER_MILLIS = 250;

    /** How often, a second apart, rings of a running guest are tried: the process that had them may not have ended yet. */
    private static final int TAKEOVER_TRIES = 30;

    private final XenTap tap;
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
    private final BackendNodes nodes;
    private final DeviceDisk deviceDisk;
    private @Nullable Disk disk;
    private @Nullable Consumer<Geometry> resized;
    private String lastError = "";
    /** What stands in the error node by us: not told twice, for each write has the device looked at again, and a second one could hit a device made anew. */
    private String toldError = "";

    private boolean isTakingOver;
    private boolean isSizeUntold;
    private int takeoverTries;

    XenBackend(XenTap tap, XenStorePath path, int domid, int device) {
        this.tap = tap;
        this.domid = domid;
        this.device = device;
        this.nodes = new BackendNodes(tap.store(), path);
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
        return nodes.read().thenCompose(wanted -> {
            if (wanted.frontend().isEmpty()) {
                return step(seen(wanted, XenbusState.UNKNOWN, true), wanted);
            }
            XenStorePath its = watchFrontend(wanted.frontend().get());
            return tap.store().readIfPresent(its.child("state")).thenCompose(state -> {
                XenbusState theirs = XenbusState.of(state.orElse(""));
                boolean mayDiffer =
                        rings.areServed() && (theirs == XenbusState.INITIALISED || theirs == XenbusState.CONNECTED);
                CompletableFuture<Boolean> same = mayDiffer
                        ? FrontendNodes.read(tap.store(), its, tap.maxQueues())
                                .handle((now, wrong) -> wrong == null && now.equals(rings.published()))
                        : CompletableFuture.completedFuture(true);
                return same.thenCompose(sameRings -> step(seen(wanted, theirs, sameRings), wanted));
            });
        });
    }

    private XenbusPlan.Seen seen(BackendNodes.Wanted wanted, XenbusState frontendState, boolean sameRings) {
        return new XenbusPlan.Seen(
                wanted.frontend().isPresent(),
                wanted.state(),
                frontendState,
                wanted.isOnline(),
                wanted.isReady(),
                rings.areServed(),
                sameRings);
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

    private CompletableFuture<Boolean> step(XenbusPlan.Seen seen, BackendNodes.Wanted wanted) {
        if (wanted.state() == XenbusState.INITIALISING) {
            toldError = ""; // the toolstack has begun anew
        }
        XenbusPlan.Step step = XenbusPlan.next(seen);
        XenTap.LOG.debug("{}: {}", this, step);
        return switch (step) {
            case NONE -> {
                if (isSizeUntold) {
                    resize();
                }
                yield CompletableFuture.completedFuture(false);
            }
            case OFFER -> offer(wanted).thenApply(ok -> true);
            case CONNECT -> connect(wanted, seen.frontend()).thenApply(ok -> true);
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

    private CompletableFuture<Boolean> say(XenbusState state) {
        return nodes.write(Map.of(), state).thenApply(ok -> true);
    }

    private CompletableFuture<Disk> acquireDisk(BackendNodes.Wanted wanted) {
        if (wanted.frontendId().isPresent()
                && !wanted.frontendId().get().strip().equals(Integer.toString(domid))) {
            return CompletableFuture.failedFuture(new StageException("its frontend-id is not " + domid));
        }
        return deviceDisk.acquire(wanted.params());
    }

    private CompletableFuture<Void> offer(BackendNodes.Wanted wanted) {
        return acquireDisk(wanted).thenCompose(chosen -> {
            Map<String, String> values = BackendNodes.features(chosen.geometry());
            values.put("max-ring-page-order", Integer.toString(FrontendNodes.MAX_PAGE_ORDER));
            values.put("multi-queue-max-queues", Integer.toString(tap.maxQueues()));
            if (tap.disks().find("").filter(standard -> standard == chosen).isPresent()) {
                // libxl gives QEMU nbd+unix:///?socket=THIS for the time before the guest has its own driver: always
                // the default export.
                tap.settings().nbdSocket().ifPresent(socket -> values.put("physical-device-path", socket.toString()));
            }
            return nodes.write(values, XenbusState.INIT_WAIT);
        });
    }

    // ---- rings

    private CompletableFuture<Void> connect(BackendNodes.Wanted wanted, XenbusState theirState) {
        isTakingOver = wanted.state() == XenbusState.CONNECTED;
        return acquireDisk(wanted).thenCompose(chosen -> connect(wanted, theirState, chosen));
    }

    private CompletableFuture<Void> connect(BackendNodes.Wanted wanted, XenbusState theirState, Disk chosen) {
        boolean readOnly =
                chosen.geometry().has(Feature.READ_ONLY) || !wanted.mode().startsWith("w");
        if (!chosen.geometry().has(Feature.READ_ONLY) && readOnly) {
            return CompletableFuture.failedFuture(new StageException("mode=" + Printable.of(wanted.mode())
                    + ", but " + chosen.label()
                    + " can be written; attach it for writing, or serve it read-only (image:FILE,read-only)"));
        }
        XenStorePath theirs = Objects.requireNonNull(frontend);
        return FrontendNodes.read(tap.store(), theirs, tap.maxQueues()).thenCompose(published -> {
            if (tap.isStopping()) {
                return CompletableFuture.completedFuture(null);
            }
            disk = chosen;
            Geometry told = chosen.geometry();
            return rings.serve(chosen, published)
                    .thenCompose(ok -> isTakingOver && theirState == XenbusState.CONNECTED
                            ? nodes.have(BackendNodes.size(told))
                            : CompletableFuture.completedFuture(false))
                    .thenCompose(isTold -> {
                        if (isTold) {
                            return nodes.takeBackError(); // and the guest need not notice
                        }
                        return nodes.write(BackendNodes.disk(told, wanted, readOnly), XenbusState.CONNECTED);
                    })
                    .thenCompose(ok -> tap.settings().statsFolder().isPresent()
                            ? nodes.tell(TapdiskStats.PID_NODE, Long.toString(TapdiskStats.pid()))
                            : CompletableFuture.<Void>completedFuture(null))
                    .thenRun(() -> {
                        lastError = "";
                        toldError = "";
                        isTakingOver = false;
                        takeoverTries = 0;
                        XenTap.LOG
                                .atLevel(pace.isSlow() ? Level.DEBUG : Level.INFO)
                                .log(
                                        "{}: connected to disk '{}', {} ring(s) of {} page(s), {}",
                                        this,
                                        chosen.name(),
                                        published.size(),
                                        published.get(0).grefs().size(),
                                        published.get(0).layout());
                        Consumer<Geometry> listener = geometry -> tap.control().execute(this::resize);
                        resized = listener;
                        chosen.onGeometryChange(listener);
                        if (!chosen.geometry().equals(told)) {
                            resize(); // it changed while the guest was told
                        }
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

    /** Tells the guest the size of its disk, which is another one; if that fails, for example because xenstored is just restarted, the next look tells it. */
    private void resize() {
        Disk used = disk;
        isSizeUntold = false;
        if (used != null && rings.areServed() && !tap.isStopping()) {
            nodes.resize(used::geometry).whenComplete((ok, failure) -> {
                if (failure != null) {
                    isSizeUntold = true;
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
        boolean isNew = !message.equals(lastError);
        lastError = message;
        if (!isNew || pace.isSlow() || tap.isStopping()) {
            XenTap.LOG.debug("{}: {}", this, message);
        } else if (cause instanceof RuntimeException || cause instanceof Error) {
            XenTap.LOG.error("{}: {}", this, message, cause);
        } else {
            XenTap.LOG.error("{}: {}", this, message);
        }
        if (tap.isStopping() || rings.areServed()) {
            return; // what is connected stays so
        }
        if (message.equals(toldError)) {
            return;
        }
        toldError = message;
        // A guest that waits to be taken over waits on, with its disk, until it can be served again.
        nodes.writeError(message, !guestWaits).whenComplete((ok, failure) -> {
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

package io.blocktap.launcher.xen;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.transport.Printable;
import io.blocktap.transport.xen.store.XenStoreException;
import io.blocktap.transport.xen.store.XenStoreNodes;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenStorePermission;
import io.blocktap.transport.xen.store.XenStorePermission.Access;
import io.blocktap.transport.xen.store.XenStoreTransaction;
import io.blocktap.transport.xen.store.XenbusState;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/**
 * Attaches disks to guests, and detaches them, by xenstore alone. As libxl does it ({@code tools/libs/light/libxl_disk.c}): both sides' nodes appear in one transaction, the
 * backend's readable by the guest, the frontend's owned by the guest and readable by the backend.
 *
 * <p>Not thread-safe; waits.
 */
public final class XenToolstack {
    /** The kinds of backend that blocktap serves. */
    public static final List<String> KINDS = List.of("tap", "vbd3");

    private static final int MOST_ERROR_CHARS = 1000;

    private final XenHost host;

    /** What is wanted of a disk: its target, and whether the guest may write. */
    public enum Mode {
        /** Reading and writing. */
        READ_WRITE("w"),
        /** Reading only; the disk must be read-only too. */
        READ_ONLY("r");

        private final String node;

        Mode(String node) {
            this.node = node;
        }
    }

    /** Makes one for a host. */
    public XenToolstack(XenHost host) {
        this.host = host;
    }

    /** Names a device. */
    public XenDevice device(String domain, VirtualDevice device, String kind) throws StageException {
        return new XenDevice(host.domain(domain), device, kind, host.ownDomid());
    }

    // ---- attaching

    /**
     * Makes the nodes of a new device. A server that runs takes it up by itself.
     *
     * @param params the disk's name or a chain
     * @throws StageException if there is no such domain, or it has such a device already
     */
    public void create(XenDevice device, String params, Mode mode) throws ConfigException, StageException {
        if (!host.exists(device.domain())) {
            throw new StageException("there is no " + device.domain());
        }
        if (params.length() > 2048) {
            throw new ConfigException("the disk's name or chain has " + params.length()
                    + " characters; at most 2048 are told by xenstore: give the chain a name in a configuration file");
        }
        XenHost.await(host.store()
                .transaction(view -> view.readIfPresent(device.frontend().child("backend"))
                        .thenCombine(
                                view.readIfPresent(device.backend().child("frontend")),
                                (used, left) -> used.or(() -> left))
                        .thenCompose(taken -> taken.isPresent()
                                ? CompletableFuture.failedFuture(new StageException(device + " is there already ("
                                        + Printable.of(taken.get()) + "); choose another, or detach it first"))
                                : write(view, device, params, mode))));
    }

    private static CompletableFuture<Void> write(XenStoreTransaction view, XenDevice device, String params, Mode mode) {
        int guest = device.domain().domid();
        XenStorePermission guestReads = new XenStorePermission(Access.READ, guest);
        XenStorePermission backendReads = new XenStorePermission(Access.READ, device.backendDomid());
        // What is made below inherits them.
        return view.mkdir(device.backend())
                .thenCompose(ok -> view.mkdir(device.frontend()))
                .thenCompose(ok -> view.setPermissions(
                        device.backend(), new XenStorePermission(Access.NONE, device.backendDomid()), guestReads))
                .thenCompose(ok -> view.setPermissions(
                        device.frontend(), new XenStorePermission(Access.NONE, guest), backendReads))
                .thenCompose(ok -> writeAll(view, device.backend(), backendNodes(device, params, mode)))
                .thenCompose(ok -> writeAll(view, device.frontend(), frontendNodes(device)));
    }

    private static Map<String, String> backendNodes(XenDevice device, String params, Mode mode) {
        Map<String, String> nodes = new LinkedHashMap<>();
        nodes.put("frontend", device.frontend().toString());
        nodes.put("frontend-id", Integer.toString(device.domain().domid()));
        nodes.put("params", params);
        nodes.put("online", "1");
        nodes.put("removable", "0");
        nodes.put("bootable", "1");
        nodes.put("dev", device.device().name());
        nodes.put("type", device.kind());
        nodes.put("mode", mode.node);
        nodes.put("device-type", "disk");
        nodes.put("state", XenbusState.INITIALISING.node());
        return nodes;
    }

    private static Map<String, String> frontendNodes(XenDevice device) {
        Map<String, String> nodes = new LinkedHashMap<>();
        nodes.put("backend", device.backend().toString());
        nodes.put("backend-id", Integer.toString(device.backendDomid()));
        nodes.put("virtual-device", Integer.toString(device.device().number()));
        nodes.put("device-type", "disk");
        nodes.put("state", XenbusState.INITIALISING.node());
        return nodes;
    }

    private static CompletableFuture<Void> writeAll(
            XenStoreNodes view, XenStorePath below, Map<String, String> values) {
        List<CompletableFuture<Void>> all = new ArrayList<>();
        values.forEach((name, value) -> all.add(view.write(below.child(name), value)));
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }

    /**
     * Waits until a server has taken the device, and the guest has connected.
     *
     * @param enough {@link XenbusState#CONNECTED}, or {@link XenbusState#INIT_WAIT} if the guest need not be there
     * @return the backend's state
     * @throws StageException if the server refuses the device, whose nodes are removed then; or if the time is over
     */
    public XenbusState awaitServed(XenDevice device, XenbusState enough, Duration limit) throws StageException {
        DeviceState last;
        try (DeviceWatch watch = new DeviceWatch(host, device)) {
            last = watch.until(
                    state -> state.isRefused()
                            || state.own() == XenbusState.CONNECTED
                            || state.own() == XenbusState.INIT_WAIT && enough == XenbusState.INIT_WAIT,
                    limit);
        }
        if (last.isRefused()) {
            remove(device);
            throw new StageException(device + ": " + oneLine(last.error().orElse("")));
        }
        if (last.own() == XenbusState.INITIALISING || last.own() == XenbusState.UNKNOWN) {
            remove(device);
            throw new StageException(device + ": no server has taken it within " + seconds(limit)
                    + ", so it is removed again; is 'blocktap serve --tap xen"
                    + (device.kind().equals("tap") ? "" : ":kind=" + device.kind()) + " ...' running in domain "
                    + device.backendDomid() + "?");
        }
        if (last.own() != XenbusState.CONNECTED && enough == XenbusState.CONNECTED) {
            throw new StageException(device + ": offered, but the guest has not connected within " + seconds(limit)
                    + " (server " + last.own() + ", guest " + last.frontend()
                    + "); it stays offered: has the guest started, and has it the driver xen-blkfront?");
        }
        return last.own();
    }

    private static String seconds(Duration limit) {
        return limit.toMillis() % 1000 == 0 ? limit.toSeconds() + " s" : limit.toMillis() + " ms";
    }

    /** The server's whole reason, longer than {@link Printable} leaves one, but nothing in it that could steer a terminal. */
    private static String oneLine(String error) {
        return Printable.whole(error.substring(0, Math.min(error.length(), MOST_ERROR_CHARS)));
    }

    // ---- detaching

    /**
     * Finds the device that a guest has, whatever its kind.
     *
     * @throws StageException if there is none of a kind that blocktap serves
     */
    public XenDevice find(String domain, VirtualDevice device) throws StageException {
        XenHost.Domain guest = host.domain(domain);
        for (String kind : KINDS) {
            XenDevice candidate = new XenDevice(guest, device, kind, host.ownDomid());
            if (!host.read(host.store(), candidate.backend().child("frontend"), "")
                    .isEmpty()) {
                return candidate;
            }
        }
        throw new StageException(guest + " has no disk " + device
                + " of ours; 'blocktap xen list' tells those there are (others belong to xl)");
    }

    /**
     * Asks both sides to end, and waits until they have.
     *
     * @return whether they have; if not, the guest still uses the disk, and goes on to do so
     */
    public boolean close(XenDevice device, Duration limit) throws StageException {
        XenHost.await(host.store()
                .transaction(view -> view.readIfPresent(device.backend().child("state"))
                        .thenCompose(state -> view.write(device.backend().child("online"), "0")
                                .thenCompose(ok -> XenbusState.of(state.orElse("")) == XenbusState.CLOSED
                                        ? CompletableFuture.completedFuture(null)
                                        : view.write(device.backend().child("state"), XenbusState.CLOSING.node())))));
        try (DeviceWatch watch = new DeviceWatch(host, device)) {
            return watch.until(state -> state.own() == XenbusState.CLOSED, limit)
                            .own()
                    == XenbusState.CLOSED;
        }
    }

    /** Removes both sides' nodes, and the guest's part of the backends if that was its last one. */
    public void remove(XenDevice device) throws StageException {
        XenHost.await(host.store()
                .transaction(view -> removeIfThere(view, device.frontend())
                        .thenCompose(ok -> removeIfThere(view, device.backend()))
                        .thenCompose(ok -> removeIfEmpty(view, device.backend().parent()))));
    }

    private static CompletableFuture<Void> removeIfThere(XenStoreNodes view, XenStorePath path) {
        return unlessMissing(view.remove(path));
    }

    private static CompletableFuture<Void> removeIfEmpty(XenStoreNodes view, XenStorePath path) {
        return unlessMissing(view.list(path)
                .thenCompose(
                        names -> names.isEmpty() ? view.remove(path) : CompletableFuture.<Void>completedFuture(null)));
    }

    private static CompletableFuture<Void> unlessMissing(CompletableFuture<Void> future) {
        return future.exceptionallyCompose(failure -> XenStoreException.is(failure, XenStoreException.ENOENT)
                ? CompletableFuture.completedFuture(null)
                : CompletableFuture.failedFuture(failure));
    }

    /**
     * How both sides stand.
     *
     * @param own the backend's state
     * @param frontend the guest's state
     * @param error what the server has told the toolstack
     */
    record DeviceState(XenbusState own, XenbusState frontend, Optional<String> error) {
        /** The server has given up: it tells why, and that it has closed. */
        boolean isRefused() {
            return own == XenbusState.CLOSED && error.isPresent();
        }
    }
}

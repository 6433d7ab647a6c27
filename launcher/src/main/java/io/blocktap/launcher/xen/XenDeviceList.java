package io.blocktap.launcher.xen;

import io.blocktap.pipeline.StageException;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenbusState;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * Every device of the kinds that blocktap serves, as maps for JSON. What is not known is null: half of it is written by guests, and counters are known to a running
 * server only.
 */
public final class XenDeviceList {
    private static final int MOST_RING_PAGE_ORDER = 4;
    private static final int MOST_QUEUES = 64;
    private static final List<String> BACKEND_NODES = List.of(
            "frontend",
            "state",
            "online",
            "mode",
            "params",
            "error",
            "sectors",
            "feature-flush-cache",
            "feature-discard",
            "feature-max-indirect-segments");
    private static final List<String> FRONTEND_NODES =
            List.of("state", "protocol", "ring-page-order", "multi-queue-num-queues");

    private final XenHost host;
    private final Path statusFolder;

    /**
     * Makes a list.
     *
     * @param statusFolder where servers keep their status files
     */
    public XenDeviceList(XenHost host, Path statusFolder) {
        this.host = host;
        this.statusFolder = statusFolder;
    }

    /** Reads all devices, sorted by kind, domain and number. */
    public List<Map<String, Object>> read() throws StageException {
        List<Map<String, Object>> all = new ArrayList<>();
        for (String kind : XenToolstack.KINDS) {
            ServerStatus status = ServerStatus.read(statusFolder, kind);
            XenStorePath folder = XenStorePath.of("/local/domain/" + host.ownDomid() + "/backend/" + kind);
            for (int domid : numbers(folder)) {
                XenHost.Domain domain = new XenHost.Domain(domid, host.nameOf(domid));
                for (int number : numbers(folder.child(domid))) {
                    XenDevice device = new XenDevice(domain, new VirtualDevice(number), kind, host.ownDomid());
                    Map<String, Object> described = describe(device, status.of(device));
                    if (!described.isEmpty()) {
                        all.add(described);
                    }
                }
            }
        }
        return all;
    }

    private List<Integer> numbers(XenStorePath folder) throws StageException {
        return host.list(folder).stream()
                .filter(name -> name.matches("\\d{1,9}"))
                .map(Integer::parseInt)
                .sorted()
                .toList();
    }

    /** Reads nodes; those that are not there are not in the map. */
    private Map<String, String> nodes(XenStorePath folder, List<String> names) throws StageException {
        Map<String, CompletableFuture<Optional<String>>> asked = new LinkedHashMap<>();
        names.forEach(name -> asked.put(name, host.store().readIfPresent(folder.child(name))));
        Map<String, String> found = new LinkedHashMap<>();
        for (Map.Entry<String, CompletableFuture<Optional<String>>> each : asked.entrySet()) {
            XenHost.await(each.getValue()).ifPresent(value -> found.put(each.getKey(), value));
        }
        return found;
    }

    private Map<String, Object> describe(XenDevice device, Map<?, ?> status) throws StageException {
        Map<String, String> own = nodes(device.backend(), BACKEND_NODES);
        if (!own.containsKey("frontend")) {
            return Map.of(); // it went while we looked
        }
        Map<String, String> theirs = nodes(device.frontend(), FRONTEND_NODES);
        XenbusState ownState = XenbusState.of(own.getOrDefault("state", ""));
        boolean isConnected = ownState == XenbusState.CONNECTED;
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("kind", device.kind());
        map.put("domid", device.domain().domid());
        put(
                map,
                "domain",
                device.domain().name().isEmpty() ? null : device.domain().name());
        map.put("vdev", device.device().name());
        map.put("device", device.device().number());
        map.put("backend", device.backend().toString());
        map.put("frontend", device.frontend().toString());
        map.put("backendState", ownState.toString());
        map.put(
                "frontendState",
                XenbusState.of(theirs.getOrDefault("state", "")).toString());
        map.put("online", !"0".equals(own.get("online")));
        put(map, "error", own.get("error"));
        map.put("params", own.getOrDefault("params", ""));
        put(map, "disk", status.get("disk"));
        put(map, "chain", status.get("chain"));
        map.put("mode", own.getOrDefault("mode", "r"));
        Long sectors = isConnected ? number(own.get("sectors"), Long.MAX_VALUE >> 9) : null;
        put(map, "sizeBytes", sectors == null ? null : sectors << 9);
        Long order = number(theirs.getOrDefault("ring-page-order", "0"), MOST_RING_PAGE_ORDER);
        put(map, "rings", isConnected ? number(theirs.getOrDefault("multi-queue-num-queues", "1"), MOST_QUEUES) : null);
        put(map, "pagesPerRing", isConnected && order != null ? 1 << order : null);
        put(map, "protocol", isConnected ? theirs.get("protocol") : null);
        put(map, "features", own.containsKey("feature-flush-cache") ? features(own) : null);
        put(map, "storage", status.get("storage"));
        put(map, "inFlight", status.get("inFlight"));
        put(map, "counters", status.get("counters"));
        return map;
    }

    private static Map<String, Object> features(Map<String, String> own) {
        Map<String, Object> features = new LinkedHashMap<>();
        features.put("flush", "1".equals(own.get("feature-flush-cache")));
        features.put("discard", "1".equals(own.get("feature-discard")));
        put(features, "maxIndirectSegments", number(own.get("feature-max-indirect-segments"), Integer.MAX_VALUE));
        return features;
    }

    /** A map that stands for JSON may hold null, which is told as such. */
    @SuppressWarnings("NullAway")
    private static void put(Map<String, Object> map, String key, @Nullable Object value) {
        map.put(key, value);
    }

    private static @Nullable Long number(@Nullable String text, long most) {
        if (text == null || !text.matches("\\d{1,18}")) {
            return null;
        }
        long number = Long.parseLong(text);
        return number <= most ? number : null;
    }
}

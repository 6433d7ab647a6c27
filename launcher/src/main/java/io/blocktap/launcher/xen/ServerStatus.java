package io.blocktap.launcher.xen;

import io.blocktap.pipeline.StageException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;

/**
 * What a running server tells in its status file ({@code xen:status=FOLDER}): counters and what is in flight. Of a server that is gone nothing is told.
 *
 * @param devices by {@code DOMID/DEVICE}
 */
record ServerStatus(Map<String, Map<?, ?>> devices) {
    private static final ServerStatus NONE = new ServerStatus(Map.of());
    /** More than a server writes. */
    private static final long MOST_BYTES = 8 << 20;
    /** A process's start is told in hundredths of a second, and the clock may be set. */
    private static final long SAME_START_MILLIS = 2000;

    /**
     * Reads a file.
     *
     * @param kind of backends
     * @throws StageException if there is a file that can not be read; none is well, since a server need not write one
     */
    static ServerStatus read(Path folder, String kind) throws StageException {
        Path file = folder.resolve("xen-" + kind + ".json");
        try {
            if (Files.size(file) > MOST_BYTES) {
                throw new StageException(file + " has more than " + MOST_BYTES + " bytes; no server has written that");
            }
            String text = Files.readString(file, StandardCharsets.UTF_8);
            // JSON is YAML.
            Object root =
                    new Load(LoadSettings.builder().setLabel(file.toString()).build()).loadFromString(text);
            return root instanceof Map<?, ?> map && isAlive(map) ? new ServerStatus(devices(map)) : NONE;
        } catch (NoSuchFileException e) {
            return NONE;
        } catch (IOException | YamlEngineException e) {
            throw new StageException(file + " can not be read: " + e.getMessage(), e);
        }
    }

    private static boolean isAlive(Map<?, ?> root) {
        if (!(root.get("pid") instanceof Number pid) || !(root.get("startedMillis") instanceof Number started)) {
            return false;
        }
        Optional<Instant> start = ProcessHandle.of(pid.longValue())
                .flatMap(process -> process.info().startInstant());
        return start.isPresent() && Math.abs(start.get().toEpochMilli() - started.longValue()) < SAME_START_MILLIS;
    }

    private static Map<String, Map<?, ?>> devices(Map<?, ?> root) {
        Map<String, Map<?, ?>> found = new HashMap<>();
        if (root.get("devices") instanceof List<?> list) {
            for (Object each : list) {
                if (each instanceof Map<?, ?> device) {
                    found.put(device.get("domid") + "/" + device.get("device"), device);
                }
            }
        }
        return found;
    }

    /** Returns what is known of a device; empty if nothing is. */
    Map<?, ?> of(XenDevice device) {
        Map<?, ?> found =
                devices.get(device.domain().domid() + "/" + device.device().number());
        return found == null ? Map.of() : found;
    }
}

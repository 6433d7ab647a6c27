package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdExport;
import io.blocktap.pipeline.codec.gnbd.GnbdText;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The disks of a server under the names that GNBD clients know them by. Any thread. */
final class GnbdExports {
    private static final String UNNAMED = "disk";

    private final Map<String, Disk> disks;

    private GnbdExports(Map<String, Disk> disks) {
        this.disks = disks;
    }

    /**
     * Names the disks of a server.
     *
     * @param defaultName how the default disk is called; null for its own name
     * @throws StageException if a disk's name can not be an export's
     */
    static GnbdExports of(DiskRegistry registry, @Nullable String defaultName) throws StageException {
        @Nullable Disk byDefault = registry.find("").orElse(null);
        if (defaultName != null && byDefault == null) {
            throw new StageException("gnbd: export=" + defaultName
                    + " names the default disk, and of several named disks none is; leave it out");
        }
        Map<String, Disk> disks = new LinkedHashMap<>();
        for (Disk disk : registry.all()) {
            String own = disk.name().isEmpty() ? UNNAMED : disk.name();
            String name = disk == byDefault && defaultName != null ? defaultName : own;
            requireExportable(name);
            if (disks.put(name, disk) != null) {
                throw new StageException("gnbd: two disks would be exported as '" + name + "'; give the default disk"
                        + " another name with export=");
            }
        }
        return new GnbdExports(disks);
    }

    /** Refuses what clients could not ask for, or not make a file name of. */
    static void requireExportable(String name) throws StageException {
        if (name.isEmpty() || name.indexOf('/') >= 0 || !GnbdText.fits(name, Gnbd.DEVICE_BYTES)) {
            throw new StageException("gnbd: '" + name + "' can not be an export's name; it has 1 to "
                    + (Gnbd.DEVICE_BYTES - 1) + " bytes, Latin-1 without '/'");
        }
    }

    @Nullable
    Disk find(String name) {
        return disks.get(name);
    }

    /** Returns the names, sorted by those of the disks. */
    List<String> names() {
        return List.copyOf(disks.keySet());
    }

    /** Returns the reply to NAMES: the last one first, as the original does it. */
    List<GnbdExport> describe() {
        List<GnbdExport> exports = new ArrayList<>();
        disks.forEach((name, disk) ->
                exports.add(new GnbdExport(name, 0, disk.geometry().has(Feature.READ_ONLY))));
        Collections.reverse(exports);
        return exports;
    }
}

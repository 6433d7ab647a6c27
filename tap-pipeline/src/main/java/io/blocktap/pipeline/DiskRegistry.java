package io.blocktap.pipeline;

import java.util.Collection;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** The disks of a server by name. Filled before the taps open; afterwards any thread may look up. */
public final class DiskRegistry {
    private final Map<String, Disk> disks = new TreeMap<>();
    private final ChainDisks chains;

    /** Makes a registry of opened disks with different names. */
    public DiskRegistry(Collection<Disk> opened) {
        this(opened, ChainDisks.NONE);
    }

    /** As {@link #DiskRegistry(Collection)}, for taps that open chains as well. */
    public DiskRegistry(Collection<Disk> opened, ChainDisks chains) {
        this.chains = chains;
        for (Disk disk : opened) {
            if (disks.put(disk.name(), disk) != null) {
                throw new IllegalArgumentException("two disks are named '" + disk.name() + "'");
            }
        }
    }

    /**
     * Finds a disk. The empty name stands for the default disk: the one so named, or the only one there is.
     *
     * @return the disk, if there is one of that name
     */
    public Optional<Disk> find(String name) {
        Disk disk = disks.get(name);
        if (disk == null && name.isEmpty() && disks.size() == 1) {
            disk = disks.values().iterator().next();
        }
        return Optional.ofNullable(disk);
    }

    /** Returns what opens disks that are not in the configuration; those are in no list here. */
    public ChainDisks chains() {
        return chains;
    }

    /** Returns all disks, sorted by name. */
    public Collection<Disk> all() {
        return java.util.Collections.unmodifiableCollection(disks.values());
    }
}

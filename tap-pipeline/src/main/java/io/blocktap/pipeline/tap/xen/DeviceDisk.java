package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.StageException;
import io.blocktap.transport.Printable;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * The disk that one device gets: one of the configuration, or a chain that is opened for this device alone, and closed with it.
 *
 * <p>Threads: the tap's control loop. One call at a time.
 */
final class DeviceDisk {
    /** What libxl puts before the target, by the format. */
    private static final List<String> PREFIXES = List.of("aio:", "vhd:", "tap:");

    private final XenTap tap;
    private final String name;
    private String params = "";
    private @Nullable Disk opened;

    /**
     * Makes it with no disk.
     *
     * @param name what the log calls a disk that is opened for the device
     */
    DeviceDisk(XenTap tap, String name) {
        this.tap = tap;
        this.name = name;
    }

    /** Returns the target in {@code params} without what libxl puts before it. */
    static String target(String params) {
        for (String prefix : PREFIXES) {
            if (params.startsWith(prefix)) {
                return params.substring(prefix.length());
            }
        }
        return params;
    }

    /**
     * Returns the disk; opens it if {@code params} hold a chain and it is not open.
     *
     * @param newParams what the toolstack has written
     * @return fails with {@link StageException} that says what would be right
     */
    CompletableFuture<Disk> acquire(String newParams) {
        Disk present = opened;
        if (present != null && params.equals(newParams)) {
            return CompletableFuture.completedFuture(present);
        }
        if (present != null) {
            return release().thenCompose(ok -> acquire(newParams));
        }
        String target = target(newParams);
        Optional<Disk> configured = tap.disks().find(target);
        if (configured.isPresent()) {
            return CompletableFuture.completedFuture(configured.get());
        }
        boolean isChain = target.indexOf(':') >= 0 || target.indexOf(' ') >= 0;
        if (tap.settings().allow().isEmpty() || target.isBlank()) {
            return CompletableFuture.failedFuture(new StageException(notServed(target, isChain)));
        }
        return tap.disks()
                .chains()
                .open(name, target, tap.settings().allow())
                .whenCompleteAsync(
                        (disk, failure) -> {
                            if (failure == null) {
                                opened = disk;
                                params = newParams;
                                XenTap.LOG.info("{}: opened {} for it", name, Printable.of(target));
                            }
                        },
                        tap.control());
    }

    private String notServed(String target, boolean isChain) {
        List<String> names =
                tap.disks().all().stream().map(each -> "'" + each.name() + "'").toList();
        String known = names.isEmpty() ? "; there is none" : "; there is " + String.join(", ", names);
        return isChain
                ? "'" + Printable.of(target) + "' is a chain, and this server takes only names of its disks" + known
                        + "; serve with --tap xen:allow=PATTERNS to have chains opened"
                : "no disk '" + Printable.of(target) + "' is served; params (xl: target=) name one" + known;
    }

    /** Lets the disk go: one that was opened for the device is flushed and closed. Nothing of the device may use it any more. */
    CompletableFuture<Void> release() {
        Disk disk = opened;
        opened = null;
        params = "";
        if (disk == null) {
            return CompletableFuture.completedFuture(null);
        }
        return tap.disks()
                .chains()
                .close(disk)
                .whenCompleteAsync(
                        (ok, failure) -> {
                            if (failure == null) {
                                XenTap.LOG.info("{}: its disk is flushed and closed", name);
                            }
                        },
                        tap.control());
    }
}

package io.blocktap.transport.xen;

import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;

/**
 * Opens the devices of Xen, and says in one line what would be right where that fails. Any thread; may wait for the file system.
 *
 * <p>Privileges may be dropped afterwards: open descriptors stay usable.
 */
public final class XenDevices {
    /** A device of {@code /dev/xen}, and the kernel module behind it. */
    enum Device {
        EVTCHN,
        GNTDEV,
        GNTALLOC;

        private final String nodeName = name().toLowerCase(Locale.ROOT);
        private final String moduleName = "xen-" + nodeName;
    }

    private static final XenDevices SYSTEM = new XenDevices(Path.of("/dev/xen"), Path.of("/sys/hypervisor/type"));

    private final Path folder;
    private final Path hypervisorType;

    XenDevices(Path folder, Path hypervisorType) {
        this.folder = folder;
        this.hypervisorType = hypervisorType;
    }

    /** Returns the devices of this machine, there or not. */
    public static XenDevices ofThisMachine() {
        return SYSTEM;
    }

    /**
     * Opens a device for non-blocking use.
     *
     * @return the descriptor, owned by the caller
     */
    Fd open(Device device) throws TapException {
        try {
            return Libc.openFile(node(device).toString(), Libc.O_RDWR | Libc.O_NONBLOCK, 0);
        } catch (NativeException e) {
            throw new TapException(problem(device, e.errno()), e);
        }
    }

    /** Says why event channels can not be used here, and what would be right; empty if they can. Opens the device for a moment. */
    public Optional<String> eventChannelProblem() {
        return problem(Device.EVTCHN);
    }

    /** Says why grants of other domains can not be used here, and what would be right; empty if they can. Opens the device for a moment. */
    public Optional<String> grantProblem() {
        return problem(Device.GNTDEV);
    }

    private Optional<String> problem(Device device) {
        try {
            open(device).close();
            return Optional.empty();
        } catch (TapException e) {
            return Optional.of(String.valueOf(e.getMessage()));
        }
    }

    /** Says why a device could not be opened, and what would be right. */
    String problem(Device device, int errno) {
        Path node = node(device);
        return switch (errno) {
            case Errno.ENOENT, Errno.ENODEV, Errno.ENXIO ->
                isXenDomain()
                        ? node + " is not there: load its module (modprobe " + device.moduleName
                                + "), or hand the device into this container"
                        : node + ": this machine is not a Xen domain (" + hypervisorType
                                + " does not say \"xen\"); run blocktap in domain 0, or in another domain that serves disks";
            case Errno.EACCES, Errno.EPERM ->
                node + " may not be opened: " + Errno.describe(errno)
                        + "; run as root, or give this user the right to read and write it by a udev rule: KERNEL==\"xen/"
                        + device.nodeName + "\", GROUP=\"...\", MODE=\"0660\"";
            default -> node + " can not be opened: " + Errno.describe(errno);
        };
    }

    private Path node(Device device) {
        return folder.resolve(device.nodeName);
    }

    private boolean isXenDomain() {
        try {
            return Files.readString(hypervisorType).strip().equals("xen");
        } catch (IOException e) {
            return false; // not there: no hypervisor that tells its name, so not Xen
        }
    }
}

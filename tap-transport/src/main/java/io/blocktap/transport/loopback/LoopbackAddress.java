package io.blocktap.transport.loopback;

import io.blocktap.transport.Printable;
import java.net.SocketAddress;

/** Address of a loopback tap: the path of its unix socket and, for a frontend, the name of the disk it asks for. */
public final class LoopbackAddress extends SocketAddress {
    private static final long serialVersionUID = 1L;

    private final String path;
    private final String diskName;

    /** Addresses the default disk behind a socket. */
    public LoopbackAddress(String path) {
        this(path, "");
    }

    /** Addresses a disk behind a socket. */
    public LoopbackAddress(String path, String diskName) {
        this.path = path;
        this.diskName = diskName;
    }

    /** Returns the socket's path. */
    public String path() {
        return path;
    }

    /** Returns the disk's name; empty for the default disk. */
    public String diskName() {
        return diskName;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof LoopbackAddress that && path.equals(that.path) && diskName.equals(that.diskName);
    }

    @Override
    public int hashCode() {
        return path.hashCode() * 31 + diskName.hashCode();
    }

    @Override
    public String toString() {
        return "loopback:" + path + (diskName.isEmpty() ? "" : "," + Printable.of(diskName));
    }
}

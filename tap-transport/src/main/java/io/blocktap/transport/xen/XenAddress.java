package io.blocktap.transport.xen;

import java.net.SocketAddress;

/**
 * Names one ring of a guest's disk.
 */
public final class XenAddress extends SocketAddress {
    private static final long serialVersionUID = 1L;

    private final int domid;
    private final int device;
    private final int queue;

    /** Names a ring. */
    public XenAddress(int domid, int device, int queue) {
        this.domid = domid;
        this.device = device;
        this.queue = queue;
    }

    /** Returns the guest. */
    public int domid() {
        return domid;
    }

    /** Returns the number of its virtual device. */
    public int device() {
        return device;
    }

    /** Returns the ring, counted from 0. */
    public int queue() {
        return queue;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof XenAddress that && domid == that.domid && device == that.device && queue == that.queue;
    }

    @Override
    public int hashCode() {
        return (domid * 31 + device) * 31 + queue;
    }

    @Override
    public String toString() {
        return "xen:" + domid + "/" + device + "/" + queue;
    }
}

package io.blocktap.launcher.xen;

import io.blocktap.transport.xen.store.XenStorePath;

/**
 * A virtual disk of a guest: where its nodes are.
 *
 * @param domain the guest
 * @param device which of its disks
 * @param kind of backend: {@code tap} or {@code vbd3}
 * @param backendDomid the domain that serves it
 */
public record XenDevice(XenHost.Domain domain, VirtualDevice device, String kind, int backendDomid) {
    /** Returns the backend's node, made by the toolstack, written by the server. */
    public XenStorePath backend() {
        return XenStorePath.of(
                "/local/domain/" + backendDomid + "/backend/" + kind + "/" + domain.domid() + "/" + device.number());
    }

    /** Returns the frontend's node, made by the toolstack, written by the guest. */
    public XenStorePath frontend() {
        return XenStorePath.of("/local/domain/" + domain.domid() + "/device/vbd/" + device.number());
    }

    @Override
    public String toString() {
        return device + " of " + domain;
    }
}

package io.blocktap.launcher;

import io.blocktap.launcher.server.EventLoopKind;
import io.blocktap.launcher.server.EventLoops;
import io.blocktap.launcher.xen.XenHost;
import io.blocktap.pipeline.StageException;
import io.blocktap.transport.TapException;
import io.blocktap.transport.xen.store.XenStoreEndpoint;

/** What the commands about Xen share. */
final class XenHosts {
    private XenHosts() {}

    /** Connects to this machine's xenstore. */
    static XenHost connect() throws StageException {
        XenStoreEndpoint endpoint;
        try {
            endpoint = XenStoreEndpoint.find();
        } catch (TapException e) {
            throw new StageException(String.valueOf(e.getMessage()), e);
        }
        return XenHost.connect(EventLoops.create(EventLoopKind.AUTO, 1), endpoint);
    }
}

package io.blocktap.pipeline.tap.xen;

import io.blocktap.transport.TapException;
import io.blocktap.transport.xen.EventChannels;
import io.blocktap.transport.xen.GrantDevice;
import io.blocktap.transport.xen.XenDevices;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import io.netty.channel.EventLoop;
import io.netty.util.concurrent.Future;

/** What a tap needs of the machine. Tests bring a model, for machines without Xen. */
interface XenMachine {
    /** The one that we run on. */
    XenMachine THIS = new XenMachine() {
        @Override
        public GrantDevice openGrants() throws TapException {
            return GrantDevice.open(XenDevices.ofThisMachine());
        }

        @Override
        public Future<EventChannels> openEvents(EventLoop loop) {
            return EventChannels.open(loop, XenDevices.ofThisMachine());
        }

        @Override
        public XenStoreEndpoint findStore() throws TapException {
            return XenStoreEndpoint.find();
        }
    };

    /** Opens the grants of other domains; owned by the caller. */
    GrantDevice openGrants() throws TapException;

    /** Opens the event channels of a loop; owned by the caller. */
    Future<EventChannels> openEvents(EventLoop loop);

    /** Finds the xenstore. */
    XenStoreEndpoint findStore() throws TapException;
}

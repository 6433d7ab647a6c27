package io.blocktap.transport.xen.frontend;

import io.blocktap.transport.TapException;
import io.blocktap.transport.frontend.FrontChannel;
import io.blocktap.transport.frontend.FrontGeometry;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.FrontRing;
import io.blocktap.transport.xen.EventChannels;
import io.blocktap.transport.xen.GrantAllocator;
import io.blocktap.transport.xen.GrantAllocator.PeerAccess;
import io.blocktap.transport.xen.GrantedPages;
import io.blocktap.transport.xen.XenAddress;
import io.blocktap.transport.xen.XenRing;
import io.netty.channel.ChannelPromise;
import java.net.SocketAddress;
import java.util.Arrays;

/**
 * One ring of a {@link XenFrontend}: pages granted to the backend, and an event channel that it may bind.
 *
 * <p>It has its memory and, once registered, its port; it is active from the moment the backend is Connected. Threads: the loop of its event channels.
 */
public final class XenFrontendChannel extends FrontChannel {
    private final XenAddress address;
    private final int backendDomid;
    private final EventChannels events;
    private final GrantedPages pages;
    private final int[] grefs;
    private int port = -1;

    private XenFrontendChannel(
            XenAddress address,
            int backendDomid,
            EventChannels events,
            GrantedPages pages,
            BlkifLayout layout,
            int ringPages) {
        super(layout, ringPages, pages.refs().length - ringPages);
        this.address = address;
        this.backendDomid = backendDomid;
        this.events = events;
        this.pages = pages;
        this.grefs = pages.refs();
    }

    /**
     * Makes a ring that nobody knows of yet.
     *
     * @param address what it is called
     * @param allocator stays owned by the caller, and open as long as the channel
     * @param dataPages pages for data; the kernel has 1024 in all, by default
     */
    static XenFrontendChannel make(
            XenAddress address,
            int backendDomid,
            GrantAllocator allocator,
            EventChannels events,
            BlkifLayout layout,
            int ringPages,
            int dataPages)
            throws TapException {
        GrantedPages pages = allocator.allocate(backendDomid, ringPages + dataPages, PeerAccess.READ_WRITE);
        FrontRing.initialise(pages.view());
        XenFrontendChannel channel = new XenFrontendChannel(address, backendDomid, events, pages, layout, ringPages);
        channel.attach(pages.region().retain());
        return channel;
    }

    @Override
    protected void doRegister(ChannelPromise promise) {
        try {
            port = events.bindUnbound(backendDomid, rung -> lookNow());
            promise.setSuccess();
        } catch (TapException e) {
            promise.setFailure(e);
        }
    }

    /** Returns what is to be published about it; once registered. */
    XenRing published() {
        return new XenRing(Arrays.stream(grefs, 0, ringPages()).boxed().toList(), port, layout());
    }

    /** The backend serves it now. On the loop. */
    void connected(FrontGeometry geometry) {
        tellGeometry(geometry);
        setActive(true);
        pipeline().fireChannelActive();
        lookNow();
    }

    /** What the backend says of the disk may have changed. On the loop. */
    void look(FrontGeometry geometry) {
        if (isActive()) {
            tellGeometry(geometry);
        }
    }

    @Override
    protected int grefOf(int page) {
        return grefs[page];
    }

    @Override
    protected void notifyBackend() {
        events.notify(port); // a backend that is gone shows in xenstore
    }

    @Override
    protected void letGo() {
        if (port >= 0) {
            events.close(port);
            port = -1;
        }
        pages.close();
    }

    @Override
    protected SocketAddress localAddress0() {
        return address;
    }

    @Override
    protected SocketAddress remoteAddress0() {
        return address;
    }
}

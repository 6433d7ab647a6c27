package io.blocktap.it.lab;

import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.FrontRing;
import io.blocktap.transport.xen.EventChannels;
import io.blocktap.transport.xen.GrantAllocator;
import io.blocktap.transport.xen.GrantAllocator.PeerAccess;
import io.blocktap.transport.xen.GrantedPages;
import io.blocktap.transport.xen.XenDevices;
import io.blocktap.transport.xen.XenRing;
import io.blocktap.transport.xen.frontend.XenDeviceNodes;
import io.blocktap.transport.xen.frontend.XenFrontend.Abi;
import io.blocktap.transport.xen.store.XenStore;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import io.blocktap.transport.xen.store.XenStorePath;
import io.blocktap.transport.xen.store.XenbusState;
import io.netty.channel.EventLoop;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** A frontend that writes into its rings and into xenstore what it likes. Used by one thread; its devices are on an event loop. */
final class HostileFrontend implements AutoCloseable {
    static final int BAD_GREF = 0x7ffffff0;
    private static final long ANSWER_SECONDS = 30;

    final EventLoop loop;
    final BlkifLayout layout;
    final List<Ring> rings = new ArrayList<>();
    final XenDeviceNodes nodes;
    final GrantAllocator allocator;
    private final Abi abi;
    private final XenStore store;
    private final EventChannels events;

    /** One ring, page and port. */
    final class Ring {
        final GrantedPages pages;
        final ByteBuffer memory;
        final int port;
        final int slots;
        private int reqProd;
        private int rspCons;

        Ring() throws Exception {
            pages = allocator.allocate(nodes.backendDomid(), 1, PeerAccess.READ_WRITE);
            memory = pages.view();
            FrontRing.initialise(memory);
            slots = layout.slots(1);
            port = onLoop(() -> events.bindUnbound(nodes.backendDomid(), rung -> {}));
        }

        XenRing published() {
            return new XenRing(List.of(pages.refs()[0]), port, layout);
        }

        int slot(int number) {
            return BlkifLayout.FIRST_SLOT + (number & slots - 1) * layout.slotBytes();
        }

        /** Returns the offset of the next slot, all zeroes. */
        int put() {
            int slot = slot(reqProd++);
            for (int i = 0; i < layout.slotBytes(); i++) {
                memory.put(slot + i, (byte) 0);
            }
            return slot;
        }

        void produce(int newReqProd) {
            VarHandle.fullFence();
            memory.putInt(BlkifLayout.REQ_PROD, newReqProd);
            VarHandle.fullFence();
        }

        void publish() throws Exception {
            produce(reqProd);
            ring(1);
        }

        void ring(int times) throws Exception {
            onLoop(() -> {
                for (int i = 0; i < times; i++) {
                    events.notify(port);
                }
                return null;
            });
        }

        private int rspProd() {
            VarHandle.fullFence();
            return memory.getInt(BlkifLayout.RSP_PROD);
        }

        int unanswered() {
            return reqProd - rspProd();
        }

        /** Waits until all is answered; returns how much that was. */
        int awaitAll() {
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(ANSWER_SECONDS);
            while (unanswered() != 0) {
                if (System.nanoTime() > deadline) {
                    throw new AssertionError(unanswered() + " requests are not answered");
                }
                LockSupport.parkNanos(1_000_000);
            }
            int answered = reqProd - rspCons;
            rspCons = reqProd;
            return answered;
        }

        /** Publishes one request, and returns its status. */
        int ask(int id) throws Exception {
            publish();
            awaitAll();
            int response = slot(rspCons - 1);
            long answeredId = memory.getLong(response + BlkifLayout.RESPONSE_ID);
            if (answeredId != id) {
                throw new AssertionError("answer for " + answeredId + ", not " + id);
            }
            return memory.getShort(response + BlkifLayout.RESPONSE_STATUS);
        }

        /** Describes a request of one segment. */
        int oneSegment(int operation, int id, long sector, int gref, int first, int last) {
            int slot = put();
            memory.put(slot + BlkifLayout.OPERATION, (byte) operation);
            memory.put(slot + BlkifLayout.NR_SEGMENTS, (byte) 1);
            memory.putLong(slot + layout.id(), id);
            memory.putLong(slot + layout.sectorNumber(), sector);
            segment(memory, slot + layout.segment(0), gref, first, last);
            return slot;
        }

        int indirect(int operation, int id, long sector, int segments, int gref) {
            int slot = put();
            memory.put(slot + BlkifLayout.OPERATION, (byte) Blkif.BLKIF_OP_INDIRECT);
            memory.put(slot + BlkifLayout.INDIRECT_OP, (byte) operation);
            memory.putShort(slot + BlkifLayout.INDIRECT_NR_SEGMENTS, (short) segments);
            memory.putLong(slot + layout.id(), id);
            memory.putLong(slot + layout.sectorNumber(), sector);
            memory.putInt(slot + layout.indirectGref(0), gref);
            return slot;
        }
    }

    static void segment(ByteBuffer memory, int at, int gref, int first, int last) {
        memory.putInt(at + BlkifLayout.SEGMENT_GREF, gref);
        memory.put(at + BlkifLayout.SEGMENT_FIRST_SECT, (byte) first);
        memory.put(at + BlkifLayout.SEGMENT_LAST_SECT, (byte) last);
    }

    /** Makes a device, which the backend has offered then. */
    HostileFrontend(EventLoop loop, XenStorePath directory, Abi abi, int queues) throws Exception {
        this.loop = loop;
        this.abi = abi;
        this.layout = abi.layout();
        store = XenStore.connect(loop, XenStoreEndpoint.find()).get();
        allocator = GrantAllocator.open(XenDevices.ofThisMachine());
        events = EventChannels.open(loop, XenDevices.ofThisMachine()).get();
        nodes = XenDeviceNodes.create(store, directory, "").get();
        nodes.awaitBackend(List.of(XenbusState.INIT_WAIT)).get();
        for (int i = 0; i < queues; i++) {
            rings.add(new Ring());
        }
    }

    HostileFrontend connect() throws Exception {
        publish();
        nodes.awaitBackend(List.of(XenbusState.CONNECTED)).get();
        nodes.say(XenbusState.CONNECTED).get();
        return this;
    }

    CompletableFuture<Void> publish() {
        return nodes.publish(abi.protocol(), rings.stream().map(Ring::published).toList());
    }

    <T> T onLoop(Callable<T> callable) throws Exception {
        return loop.submit(callable).get();
    }

    @Override
    public void close() {
        nodes.close().join();
        loop.submit(() -> rings.forEach(ring -> events.close(ring.port))).syncUninterruptibly();
        rings.forEach(ring -> ring.pages.close());
        nodes.say(XenbusState.CLOSED).join();
        nodes.awaitBackend(List.of(XenbusState.CLOSED)).join();
        nodes.remove().join();
        events.close().syncUninterruptibly();
        allocator.close();
        store.close().join();
    }
}

package io.blocktap.transport.ring;

import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * The frontend's side of a ring: puts requests and takes responses. The mirror image of {@link BackRing}; for blocktap's own
 * frontends and for tests.
 *
 * <p>Threads: one.
 */
public final class FrontRing {
    private final ByteBuffer ring;
    private final BlkifLayout layout;
    private final int slots;
    private int reqProdPrivate;
    private int reqProdPublished;
    private int rspCons;

    /**
     * Attaches to a ring that {@link #initialise} has prepared, at the indexes that it holds.
     *
     * @param ring the ring's pages, a direct buffer; stays owned by the caller, who keeps it mapped
     * @param pages 1, 2, 4, 8 or 16
     */
    public FrontRing(ByteBuffer ring, BlkifLayout layout, int pages) {
        this.ring = ring.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        this.layout = layout;
        this.slots = layout.slots(pages);
        this.reqProdPrivate = SharedIndexes.getAcquire(this.ring, BlkifLayout.REQ_PROD);
        this.reqProdPublished = reqProdPrivate;
        this.rspCons = SharedIndexes.getAcquire(this.ring, BlkifLayout.RSP_PROD);
    }

    /** Sets the indexes of a fresh ring: producers 0, events 1. Whoever makes the ring does so before showing it. */
    public static void initialise(ByteBuffer ring) {
        SharedIndexes.setRelease(ring, BlkifLayout.REQ_PROD, 0);
        SharedIndexes.setRelease(ring, BlkifLayout.RSP_PROD, 0);
        SharedIndexes.setRelease(ring, BlkifLayout.REQ_EVENT, 1);
        SharedIndexes.setRelease(ring, BlkifLayout.RSP_EVENT, 1);
    }

    /** Returns the number of slots. */
    public int slots() {
        return slots;
    }

    /** Returns the layout of the slots. */
    public BlkifLayout layout() {
        return layout;
    }

    /** Returns how many requests may be put now. */
    public int free() {
        return slots - (reqProdPrivate - rspCons);
    }

    /** Returns how many requests have no response yet. */
    public int inFlight() {
        return reqProdPrivate - rspCons;
    }

    /**
     * Takes the next slot for a request, to be filled before {@link #publish}.
     *
     * @return the slot's offset in {@link #memory()}
     * @throws IllegalStateException if the ring is full
     */
    public int put() {
        if (free() == 0) {
            throw new IllegalStateException("the ring is full, " + slots + " requests in flight");
        }
        return slotOffset(reqProdPrivate++);
    }

    /** Returns the ring's memory, little-endian, for filling slots and reading responses at absolute offsets. */
    public ByteBuffer memory() {
        return ring;
    }

    /**
     * Shows the backend the requests put so far.
     *
     * @return whether it asked to be notified
     */
    public boolean publish() {
        int old = reqProdPublished;
        int now = reqProdPrivate;
        if (old == now) {
            return false;
        }
        reqProdPublished = now;
        SharedIndexes.setRelease(ring, BlkifLayout.REQ_PROD, now);
        VarHandle.fullFence();
        int event = SharedIndexes.getAcquire(ring, BlkifLayout.REQ_EVENT);
        return Integer.compareUnsigned(now - event, now - old) < 0;
    }

    /**
     * Takes the next response, if there is one. Read it before the next {@link #put}: the slot is used again.
     *
     * @return the offset of its slot in {@link #memory()}, or -1
     * @throws RingProtocolException if the backend published more responses than there are requests
     */
    public int take() {
        int rspProd = SharedIndexes.getAcquire(ring, BlkifLayout.RSP_PROD);
        if (rspProd == rspCons) {
            return -1;
        }
        if (Integer.compareUnsigned(rspProd - rspCons, reqProdPublished - rspCons) > 0) {
            throw new RingProtocolException("rsp_prod " + Integer.toUnsignedString(rspProd)
                    + " is past the requests, req_prod " + Integer.toUnsignedString(reqProdPublished));
        }
        return slotOffset(rspCons++);
    }

    /**
     * Asks for a notification about the next response.
     *
     * @return whether one arrived before the backend could see this; then go on taking
     */
    public boolean arm() {
        SharedIndexes.setRelease(ring, BlkifLayout.RSP_EVENT, rspCons + 1);
        VarHandle.fullFence();
        return SharedIndexes.getAcquire(ring, BlkifLayout.RSP_PROD) != rspCons;
    }

    private int slotOffset(int index) {
        return BlkifLayout.FIRST_SLOT + (index & slots - 1) * layout.slotBytes();
    }
}

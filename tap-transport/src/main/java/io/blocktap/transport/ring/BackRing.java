package io.blocktap.transport.ring;

import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/**
 * The backend's side of a ring: takes requests, puts responses, and decides about notifications.
 *
 * <p>Everything in the shared pages is hostile. Each slot is copied once before it is looked at (XSA-155); a producer index that
 * ran too far ends the ring.
 *
 * <p>With an {@link InFlightTable}, what is taken and not answered is known to the next backend even if this one is killed.
 *
 * <p>The cycle of a turn: {@link #next} until it returns false, {@link #publish} once (and notify if it says so), then
 * {@link #arm}; if that returns true, more arrived meanwhile: again. Threads: one. Order: acquire on {@code req_prod}, then plain
 * reads of slots; responses are published by a release store, and a full fence stands between each own store and the following
 * look at the peer's index ({@code io/ring.h}, {@code RING_FINAL_CHECK_FOR_REQUESTS},
 * {@code RING_PUSH_RESPONSES_AND_CHECK_NOTIFY}).
 */
public final class BackRing {
    private final ByteBuffer ring;
    private final BlkifLayout layout;
    private final int slots;
    private final @Nullable InFlightTable table;
    private int reqProdSeen;
    private int reqCons;
    private int rspProdPrivate;
    private int rspProdPublished;

    /**
     * Attaches to a ring, fresh or left by an earlier backend: consumption starts at the published {@code rsp_prod}.
     *
     * @param ring the ring's pages, a direct buffer; stays owned by the caller, who keeps it mapped
     * @param pages 1, 2, 4, 8 or 16
     * @throws RingProtocolException if the indexes contradict each other
     */
    public BackRing(ByteBuffer ring, BlkifLayout layout, int pages) {
        this.ring = ring.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        this.layout = layout;
        this.slots = layout.slots(pages);
        this.table = null;
        this.rspProdPrivate = SharedIndexes.getAcquire(this.ring, BlkifLayout.RSP_PROD);
        this.rspProdPublished = rspProdPrivate;
        this.reqCons = rspProdPrivate;
        this.reqProdSeen = rspProdPrivate;
        checkDistance(SharedIndexes.getAcquire(this.ring, BlkifLayout.REQ_PROD));
    }

    /**
     * Attaches to a ring where its table of requests in flight says that the last backend stopped. What was in flight then comes first, once more; responses that were
     * about to be published are published now, so the caller notifies the frontend.
     *
     * @param ring the ring's pages, a direct buffer; stays owned by the caller, who keeps it mapped
     * @param pages 1, 2, 4, 8 or 16
     * @param table stays owned by the caller, who keeps its memory mapped
     * @throws RingProtocolException if the frontend's index contradicts the table
     */
    public BackRing(ByteBuffer ring, BlkifLayout layout, int pages, InFlightTable table) {
        this.ring = ring.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        this.layout = layout;
        this.slots = layout.slots(pages);
        this.table = table;
        this.rspProdPrivate = table.published();
        this.rspProdPublished = rspProdPrivate;
        this.reqCons = table.taken();
        this.reqProdSeen = reqCons;
        int reqProd = SharedIndexes.getAcquire(this.ring, BlkifLayout.REQ_PROD);
        checkDistance(reqProd);
        checkDirection(reqProd);
        SharedIndexes.setRelease(this.ring, BlkifLayout.RSP_PROD, rspProdPrivate);
    }

    /** Returns where the responses of the ring stand. */
    public static int publishedOf(ByteBuffer ring) {
        return SharedIndexes.getAcquire(ring.duplicate().order(ByteOrder.LITTLE_ENDIAN), BlkifLayout.RSP_PROD);
    }

    /** Returns how many requests the ring holds that have no published response, taken or not; hostile, as the frontend says. */
    public static int unansweredIn(ByteBuffer ring) {
        ByteBuffer its = ring.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        return SharedIndexes.getAcquire(its, BlkifLayout.REQ_PROD)
                - SharedIndexes.getAcquire(its, BlkifLayout.RSP_PROD);
    }

    /** Returns the number of slots. */
    public int slots() {
        return slots;
    }

    /** Returns the layout of the slots. */
    public BlkifLayout layout() {
        return layout;
    }

    /** Returns how many requests were taken and have no response yet. */
    public int inFlight() {
        return reqCons - rspProdPrivate;
    }

    /** Returns how many requests were taken, counted from any number; it wraps. */
    public int taken() {
        return reqCons;
    }

    private void checkDistance(int reqProd) {
        if (Integer.compareUnsigned(reqProd - rspProdPrivate, slots) > 0) {
            throw new RingProtocolException("req_prod " + Integer.toUnsignedString(reqProd) + " is "
                    + Integer.toUnsignedString(reqProd - rspProdPrivate) + " past rsp_prod "
                    + Integer.toUnsignedString(rspProdPrivate) + "; the ring has " + slots + " slots");
        }
    }

    /**
     * Takes the next request, if there is one.
     *
     * @param slot receives the private copy
     * @return whether there was one
     * @throws RingProtocolException if the producer index ran past the ring
     */
    public boolean next(RingSlot slot) {
        if (reqCons == reqProdSeen) {
            if (table != null && table.hasRedo()) {
                table.redo(slot);
                return true;
            }
            int reqProd = SharedIndexes.getAcquire(ring, BlkifLayout.REQ_PROD);
            checkDistance(reqProd);
            checkDirection(reqProd);
            reqProdSeen = reqProd;
            if (reqCons == reqProd) {
                return false;
            }
        }
        slot.copyFrom(ring, slotOffset(reqCons));
        if (table != null) {
            note(table, slot);
        }
        reqCons++;
        return true;
    }

    private void checkDirection(int reqProd) {
        // An index that went backwards (a hostile frontend) would let us take slots that hold our own responses.
        if (Integer.compareUnsigned(reqProd - rspProdPrivate, reqCons - rspProdPrivate) < 0) {
            throw new RingProtocolException("req_prod went back to " + Integer.toUnsignedString(reqProd) + " from "
                    + Integer.toUnsignedString(reqCons));
        }
    }

    private void note(InFlightTable itsTable, RingSlot slot) {
        if (!itsTable.hasFree()) {
            throw new RingProtocolException("req_prod is more than " + slots + " past the published rsp_prod "
                    + Integer.toUnsignedString(rspProdPublished));
        }
        itsTable.take(slot);
    }

    private int slotOffset(int index) {
        return BlkifLayout.FIRST_SLOT + (index & slots - 1) * layout.slotBytes();
    }

    /**
     * Puts a response into the ring; the frontend sees it after {@link #publish}.
     *
     * @param id the request's id
     * @param operation the request's operation; for an indirect request its inner operation
     * @param status one of {@link Blkif}'s {@code BLKIF_RSP_} values
     * @param entry the request's {@link RingSlot#entry}
     * @throws IllegalStateException if no request is without a response: a bug of the caller
     */
    public void respond(long id, int operation, int status, int entry) {
        if (reqCons == rspProdPrivate) {
            throw new IllegalStateException("response without a request, id " + id);
        }
        if (table != null) {
            table.answer(entry, rspProdPrivate - rspProdPublished);
        }
        int offset = slotOffset(rspProdPrivate++);
        ring.putLong(offset + BlkifLayout.RESPONSE_ID, id);
        // One word holds operation, padding and status: no old byte of ours shows through (XSA-216).
        ring.putInt(offset + BlkifLayout.RESPONSE_OPERATION, operation & 0xff | status << 16);
        if (layout == BlkifLayout.X86_64) {
            ring.putInt(offset + BlkifLayout.RESPONSE_STATUS + 2, 0);
        }
    }

    /**
     * Shows the frontend the responses put so far.
     *
     * @return whether it asked to be notified about one of them
     */
    public boolean publish() {
        int old = rspProdPublished;
        int now = rspProdPrivate;
        if (old == now) {
            return false;
        }
        if (table != null) {
            table.publish(now - old);
        }
        rspProdPublished = now;
        SharedIndexes.setRelease(ring, BlkifLayout.RSP_PROD, now);
        VarHandle.fullFence();
        int event = SharedIndexes.getAcquire(ring, BlkifLayout.RSP_EVENT);
        return Integer.compareUnsigned(now - event, now - old) < 0;
    }

    /**
     * Asks for a notification about the next request.
     *
     * @return whether a request arrived before the frontend could see this; then nothing will be notified, go on taking
     */
    public boolean arm() {
        SharedIndexes.setRelease(ring, BlkifLayout.REQ_EVENT, reqCons + 1);
        VarHandle.fullFence();
        return SharedIndexes.getAcquire(ring, BlkifLayout.REQ_PROD) != reqCons;
    }

    /** Returns whether a request is waiting, without asking for a notification. */
    public boolean hasRequests() {
        return reqCons != reqProdSeen
                || table != null && table.hasRedo()
                || SharedIndexes.getAcquire(ring, BlkifLayout.REQ_PROD) != reqCons;
    }

    /** Notes that a flush has failed on this ring, for the next backend of the same connection. */
    public void fence() {
        if (table != null) {
            table.fence();
        }
    }

    /** Returns whether a flush has failed on this ring, in this backend or an earlier one that kept a table. */
    public boolean isFenced() {
        return table != null && table.isFenced();
    }
}

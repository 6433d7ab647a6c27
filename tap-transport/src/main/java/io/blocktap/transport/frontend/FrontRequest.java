package io.blocktap.transport.frontend;

import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.ring.Blkif;

/**
 * A request that a frontend can issue again and again, with data pages of its own in the shared memory. Made by {@link
 * FrontChannel#newRequest}; issuing it allocates nothing.
 *
 * <p>Threads: the frontend channel's event loop. Between issue and completion the request belongs to the channel.
 */
public final class FrontRequest {
    /** Hears that a request has ended. */
    @FunctionalInterface
    public interface Listener {
        /**
         * Called on the frontend's event loop. The request may be issued again at once.
         *
         * @param status one of {@link Blkif}'s {@code BLKIF_RSP_} values; {@link #CONNECTION_LOST} if the ring went away first
         */
        void ended(FrontRequest request, int status);
    }

    /** Status of a request that was in flight when the ring went away: it may have been done or not. */
    public static final int CONNECTION_LOST = -1000;

    final int index;
    final int firstPage;
    final int pages;
    final int indirectPage;
    private final RegionBuf data;
    int operation;
    long sector;
    int sectors;
    Listener listener = (request, status) -> {};
    boolean inFlight;
    private Object attachment = this;

    FrontRequest(int index, int firstPage, int pages, int indirectPage, RegionBuf data) {
        this.index = index;
        this.firstPage = firstPage;
        this.pages = pages;
        this.indirectPage = indirectPage;
        this.data = data;
    }

    /** Returns the data pages: filled by a READ, to be filled before a WRITE. Capacity: what the request was made for. */
    public RegionBuf data() {
        return data;
    }

    /** Returns whatever the issuer has stored here; the request itself at first. */
    public Object attachment() {
        return attachment;
    }

    /** Stores something for the listener. */
    public void attach(Object newAttachment) {
        attachment = newAttachment;
    }

    /**
     * Says what the request is to do when it is issued.
     *
     * @param newOperation one of {@link Blkif}'s {@code BLKIF_OP_} values but INDIRECT, which is chosen by length
     * @param newSector first sector; 0 for a flush
     * @param newSectors length in sectors; 0 for a flush
     */
    public FrontRequest describe(int newOperation, long newSector, int newSectors) {
        if (inFlight) {
            throw new IllegalStateException("in flight");
        }
        operation = newOperation;
        sector = newSector;
        sectors = newSectors;
        return this;
    }

    /** Returns the operation. */
    public int operation() {
        return operation;
    }

    /** Returns the first sector. */
    public long sector() {
        return sector;
    }

    /** Returns the length in sectors. */
    public int sectors() {
        return sectors;
    }
}

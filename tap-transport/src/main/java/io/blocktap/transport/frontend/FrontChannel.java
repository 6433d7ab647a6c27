package io.blocktap.transport.frontend;

import io.blocktap.transport.DoorbellChannel;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.FrontRing;
import io.blocktap.transport.ring.RingProtocolException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The frontend's end of one ring, whatever it is made of: a memfd and two eventfds (loopback), or granted pages and an event channel (xen).
 *
 * <p>Requests are issued with {@link #issue}; those that the ring has no slot for wait in order. {@link #publish} shows them to blocktap; issue a batch, then publish once. {@link
 * BlockFrontend} is the comfortable way to use it.
 *
 * <p>Threads: the channel's event loop, for everything but the {@code Channel} methods. Ownership: the channel holds the shared memory from {@link #attach} on, until it is closed.
 */
public abstract class FrontChannel extends DoorbellChannel {
    /** Most rounds in which responses are taken before other channels of the loop get their turn. */
    private static final int ROUNDS_PER_TURN = 64;

    private final BlkifLayout layout;
    private final int ringPages;
    private final int dataPages;
    private final List<FrontRequest> requests = new ArrayList<>();
    private final ArrayDeque<FrontRequest> waiting = new ArrayDeque<>();
    private final List<Runnable> geometryListeners = new ArrayList<>();
    private @Nullable MappedRegion region;
    private @Nullable FrontRing ring;
    private volatile @Nullable FrontGeometry geometry; // written on the loop
    private int nextPage;

    /**
     * Makes a channel without a ring.
     *
     * @param layout the ring's ABI
     * @param ringPages 1, 2, 4, 8 or 16
     * @param dataPages 4 KiB pages for the data of all requests
     */
    protected FrontChannel(BlkifLayout layout, int ringPages, int dataPages) {
        super(null);
        this.layout = layout;
        this.ringPages = ringPages;
        this.dataPages = dataPages;
    }

    // ---- for subclasses

    /**
     * Sets up the ring in its memory, which holds the ring's pages and then the data pages. Once.
     *
     * @param memory taken over; the ring in it has been {@linkplain FrontRing#initialise initialised}
     */
    protected final void attach(MappedRegion memory) {
        region = memory;
        ring = new FrontRing(memory.view(), layout, ringPages);
        nextPage = ringPages;
    }

    /** Notes what the disk looks like, at first and later. */
    protected final void tellGeometry(FrontGeometry newGeometry) {
        boolean changed = geometry != null && !newGeometry.equals(geometry);
        geometry = newGeometry;
        if (changed) {
            geometryListeners.forEach(Runnable::run);
        }
    }

    /** Returns what a segment is to say for a page of the shared memory. */
    protected abstract int grefOf(int page);

    /** Rings the backend's doorbell. */
    protected abstract void notifyBackend();

    /** Closes all that the subclass has but the memory. Called once or more, when the channel is closed. */
    protected abstract void letGo() throws Exception;

    protected final BlkifLayout layout() {
        return layout;
    }

    protected final int ringPages() {
        return ringPages;
    }

    protected final int dataPages() {
        return dataPages;
    }

    // ---- issuing

    /** Returns what the disk looks like now; once connected. */
    public final FrontGeometry geometry() {
        return Objects.requireNonNull(geometry, "not connected");
    }

    /** Calls the task on the loop after each change of the geometry. */
    public final void onGeometryChange(Runnable task) {
        geometryListeners.add(task);
    }

    private FrontRing ring() {
        return Objects.requireNonNull(ring, "not connected");
    }

    /** Returns the number of slots of the ring; once connected. */
    public int slots() {
        return ring().slots();
    }

    /** Returns how many requests were issued and have not ended, waiting ones included. */
    public int outstanding() {
        return (ring == null ? 0 : ring().inFlight()) + waiting.size();
    }

    /** Returns the most segments of one request: what the disk allows, as far as one indirect page describes it. */
    public int maxSegments() {
        int indirect = Math.min(geometry().maxIndirectSegments(), Blkif.SEGMENTS_PER_INDIRECT_PAGE);
        return Math.max(Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST, indirect);
    }

    /**
     * Makes a request with data pages of its own, for as long as the channel lives.
     *
     * @param maxBytes most data that it will carry: up to 44 KiB, or, if the disk has indirect requests, 4 KiB times their segments; 0
     *     for flushes and discards
     * @throws IllegalStateException if the shared memory has no pages left
     */
    public FrontRequest newRequest(int maxBytes) {
        int pages = (maxBytes + Blkif.PAGE_BYTES - 1) / Blkif.PAGE_BYTES;
        int most = maxSegments();
        boolean indirect = pages > Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST;
        if (pages > most) {
            throw new IllegalArgumentException(
                    maxBytes + " bytes; this disk takes at most " + most * Blkif.PAGE_BYTES + " in a request");
        }
        int needed = pages + (indirect ? 1 : 0);
        if (nextPage + needed > ringPages + dataPages) {
            throw new IllegalStateException("all " + dataPages + " data pages are taken; connect with more");
        }
        MappedRegion mapped = Objects.requireNonNull(region);
        RegionBuf data = new RegionBuf(mapped, nextPage * Blkif.PAGE_BYTES, maxBytes);
        FrontRequest request =
                new FrontRequest(requests.size(), nextPage, pages, indirect ? nextPage + pages : -1, data);
        nextPage += needed;
        requests.add(request);
        return request;
    }

    /**
     * Issues a request that was {@linkplain FrontRequest#describe described}. It goes into the ring now or, if that is full, as soon as a slot is free.
     *
     * @param listener told when it has ended
     */
    public void issue(FrontRequest request, FrontRequest.Listener listener) {
        if (request.inFlight) {
            throw new IllegalStateException("in flight");
        }
        if (request.operation <= Blkif.BLKIF_OP_WRITE && request.sectors > request.pages * Blkif.SECTORS_PER_PAGE) {
            throw new IllegalArgumentException(request.sectors + " sectors in " + request.pages + " pages");
        }
        request.inFlight = true;
        request.listener = listener;
        if (!isActive()) {
            end(request, FrontRequest.CONNECTION_LOST);
        } else if (ring().free() > 0 && waiting.isEmpty()) {
            put(request);
        } else {
            waiting.add(request);
        }
    }

    private void put(FrontRequest request) {
        FrontRing current = ring();
        ByteBuffer memory = current.memory();
        int slot = current.put();
        memory.put(slot + BlkifLayout.OPERATION, (byte) request.operation);
        memory.putLong(slot + layout.id(), request.index);
        memory.putLong(slot + layout.sectorNumber(), request.sector);
        if (request.operation == Blkif.BLKIF_OP_DISCARD) {
            memory.put(slot + BlkifLayout.DISCARD_FLAG, (byte) 0);
            memory.putLong(slot + layout.discardNrSectors(), request.sectors);
            return;
        }
        int segments = (request.sectors + Blkif.SECTORS_PER_PAGE - 1) / Blkif.SECTORS_PER_PAGE;
        if (segments <= Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST) {
            memory.put(slot + BlkifLayout.NR_SEGMENTS, (byte) segments);
            memory.putShort(slot + BlkifLayout.HANDLE, (short) 0);
            putSegments(request, slot + layout.segment(0), segments);
        } else {
            memory.put(slot + BlkifLayout.OPERATION, (byte) Blkif.BLKIF_OP_INDIRECT);
            memory.put(slot + BlkifLayout.INDIRECT_OP, (byte) request.operation);
            memory.putShort(slot + BlkifLayout.INDIRECT_NR_SEGMENTS, (short) segments);
            memory.putShort(slot + layout.indirectHandle(), (short) 0);
            memory.putInt(slot + layout.indirectGref(0), grefOf(request.indirectPage));
            putSegments(request, request.indirectPage * Blkif.PAGE_BYTES, segments);
        }
    }

    private void putSegments(FrontRequest request, int offset, int segments) {
        ByteBuffer memory = ring().memory();
        int left = request.sectors;
        for (int i = 0; i < segments; i++) {
            int at = offset + i * BlkifLayout.SEGMENT_BYTES;
            memory.putInt(at + BlkifLayout.SEGMENT_GREF, grefOf(request.firstPage + i));
            memory.put(at + BlkifLayout.SEGMENT_FIRST_SECT, (byte) 0);
            memory.put(at + BlkifLayout.SEGMENT_LAST_SECT, (byte) (Math.min(left, Blkif.SECTORS_PER_PAGE) - 1));
            left -= Blkif.SECTORS_PER_PAGE;
        }
    }

    /** Shows blocktap what was issued, and rings its doorbell if it asked for it. */
    public void publish() {
        FrontRing current = ring;
        if (current != null && isActive() && current.publish()) {
            notifyBackend();
        }
    }

    // ---- responses

    @Override
    protected boolean takeAll() {
        FrontRing current = ring;
        if (current == null) {
            return false;
        }
        try {
            for (int round = 0; round < ROUNDS_PER_TURN; round++) {
                int slot;
                // A listener may close the channel, and the ring's memory is gone then.
                while (isActive() && (slot = current.take()) >= 0) {
                    ended(current.memory(), slot);
                }
                while (isActive() && !waiting.isEmpty() && current.free() > 0) {
                    put(waiting.remove());
                }
                publish();
                pipeline().fireChannelReadComplete();
                if (!isActive() || !current.arm()) {
                    return false;
                }
            }
            return true;
        } catch (RingProtocolException e) {
            pipeline().fireExceptionCaught(e);
            close();
            return false;
        }
    }

    private void ended(ByteBuffer memory, int slot) {
        long id = memory.getLong(slot + BlkifLayout.RESPONSE_ID);
        int operation = memory.get(slot + BlkifLayout.RESPONSE_OPERATION) & 0xff;
        int status = memory.getShort(slot + BlkifLayout.RESPONSE_STATUS);
        FrontRequest request = id >= 0 && id < requests.size() ? requests.get((int) id) : null;
        if (request == null || !request.inFlight || operation != request.operation) {
            throw new RingProtocolException("response " + id + " for operation " + operation + " answers no request");
        }
        end(request, status);
    }

    private void end(FrontRequest request, int status) {
        request.inFlight = false;
        try {
            request.listener.ended(request, status);
        } catch (RuntimeException e) {
            pipeline().fireExceptionCaught(e); // the other requests' responses must not be lost with it
        }
    }

    // ---- the end

    @Override
    protected void doClose() throws Exception {
        super.doClose();
        letGo();
        waiting.clear();
        for (FrontRequest request : List.copyOf(requests)) {
            if (request.inFlight) {
                end(request, FrontRequest.CONNECTION_LOST);
            }
        }
        MappedRegion mapped = region;
        region = null;
        ring = null;
        if (mapped != null) {
            requests.forEach(request -> request.data().pointNowhere());
            mapped.release();
        }
    }
}

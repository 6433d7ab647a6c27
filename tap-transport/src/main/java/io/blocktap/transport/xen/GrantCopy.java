package io.blocktap.transport.xen;

import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * Copies between pages of guests and our memory, all that was added by one ioctl, whatever guests and requests it is of.
 *
 * <p>Each works in one direction only: the kernel must not be given both in one call (it tells pages that it has written by a mark that is common to a batch of
 * copies). A turn: {@link #add} as often as needed, {@link #run}, ask for each {@link #status}, {@link #clear}.
 *
 * <p>Memory for the most segments is set aside at the beginning, and used as it is needed. Threads: one event loop. In steady state nothing is allocated. Both
 * the pages and our memory may change during the copy, and the local memory must stay in place until {@link #run} has returned.
 */
public final class GrantCopy implements AutoCloseable {
    /** Status: copied. ({@code GNTST_okay}, Xen's {@code grant_table.h}.) */
    public static final int OKAY = 0;
    /** Status: not copied, for no reason that was told; also of segments that were not run. */
    public static final int GENERAL_ERROR = -1;

    private static final int FIRST_SEGMENT = GntdevLayout.SEGMENT_BYTES;
    private static final int MAX_SEGMENTS = (Integer.MAX_VALUE - FIRST_SEGMENT) / GntdevLayout.SEGMENT_BYTES;

    private enum Direction {
        FROM_GUEST(GntdevLayout.SEGMENT_SOURCE, GntdevLayout.SEGMENT_DEST, GntdevLayout.GNTCOPY_SOURCE_GREF),
        TO_GUEST(GntdevLayout.SEGMENT_DEST, GntdevLayout.SEGMENT_SOURCE, GntdevLayout.GNTCOPY_DEST_GREF);

        private final int foreignSide;
        private final int localSide;
        private final short flags;

        Direction(int foreignSide, int localSide, int flags) {
            this.foreignSide = foreignSide;
            this.localSide = localSide;
            this.flags = (short) flags;
        }
    }

    private enum State {
        ADDING,
        RAN,
        FAILED
    }

    private final GrantDevice device;
    private final int foreignSide;
    private final int localSide;
    private final short flags;
    private final int maxSegments;
    private final MappedRegion region;
    private final ByteBuffer view;
    private int count;
    private State state = State.ADDING;

    private GrantCopy(GrantDevice device, Direction direction, int maxSegments) throws NativeException {
        if (maxSegments < 1 || maxSegments > MAX_SEGMENTS) {
            throw new IllegalArgumentException(
                    "room for " + maxSegments + " segments; it must be 1 to " + MAX_SEGMENTS);
        }
        this.device = device;
        this.foreignSide = direction.foreignSide;
        this.localSide = direction.localSide;
        this.flags = direction.flags;
        this.maxSegments = maxSegments;
        this.region = MappedRegion.sparse(FIRST_SEGMENT + maxSegments * GntdevLayout.SEGMENT_BYTES);
        this.view = region.view();
        view.putLong(GntdevLayout.COPY_SEGMENTS, region.address() + FIRST_SEGMENT);
    }

    /**
     * Makes one that reads pages of guests.
     *
     * @param device stays owned by the caller, and open as long as this is used
     * @param maxSegments most segments of one run
     */
    public static GrantCopy fromGuest(GrantDevice device, int maxSegments) throws NativeException {
        return new GrantCopy(device, Direction.FROM_GUEST, maxSegments);
    }

    /** Makes one that writes pages of guests; see {@link #fromGuest}. */
    public static GrantCopy toGuest(GrantDevice device, int maxSegments) throws NativeException {
        return new GrantCopy(device, Direction.TO_GUEST, maxSegments);
    }

    /**
     * Adds a segment.
     *
     * @param domid whose page
     * @param gref its grant reference; one that is not valid shows in the segment's status
     * @param pageOffset first byte in the page
     * @param lengthBytes {@code pageOffset + lengthBytes} is at most 4096
     * @param localAddress our memory; may lie across pages
     * @return the segment's number, for {@link #status}; -1 if there is no room: {@link #run} and {@link #clear} first
     * @throws IllegalArgumentException if it does not lie in its page: one such segment would fail all the others
     */
    public int add(int domid, int gref, int pageOffset, int lengthBytes, long localAddress) {
        if (state != State.ADDING) {
            throw new IllegalStateException("segments were run and not cleared");
        }
        if (pageOffset < 0 || lengthBytes < 0 || pageOffset > Libc.PAGE_BYTES - lengthBytes) {
            throw new IllegalArgumentException(lengthBytes + " bytes at " + pageOffset + " do not lie in a page");
        }
        if (count == maxSegments) {
            return -1;
        }
        int at = segment(count);
        int foreign = at + foreignSide;
        view.putInt(foreign + GntdevLayout.SIDE_REF, gref);
        view.putShort(foreign + GntdevLayout.SIDE_OFFSET, (short) pageOffset);
        view.putShort(foreign + GntdevLayout.SIDE_DOMID, (short) domid);
        view.putLong(at + localSide + GntdevLayout.SIDE_VIRT, localAddress);
        view.putShort(at + GntdevLayout.SEGMENT_LEN, (short) lengthBytes);
        view.putShort(at + GntdevLayout.SEGMENT_FLAGS, flags);
        view.putShort(at + GntdevLayout.SEGMENT_STATUS, (short) GENERAL_ERROR);
        return count++;
    }

    /** Returns how many segments were added since {@link #clear}. */
    public int count() {
        return count;
    }

    /** Returns the most segments of one run. */
    public int maxSegments() {
        return maxSegments;
    }

    /**
     * Copies all that was added, by one ioctl; none if nothing was.
     *
     * @return 0: every segment has its own status; or {@code -errno}: all have failed ({@code -EFAULT}: a local address is not ours, and statuses mean nothing,
     *     some segments may be copied)
     */
    public int run() {
        if (state != State.ADDING) {
            throw new IllegalStateException("segments were run and not cleared");
        }
        int result = 0;
        if (count > 0) {
            view.putInt(GntdevLayout.COPY_COUNT, count);
            result = device.copy(region.address());
        }
        state = result < 0 ? State.FAILED : State.RAN;
        return result;
    }

    /** Returns what came of a segment: {@link #OKAY}, or a negative number of Xen's; see {@link #describe}. */
    public int status(int segment) {
        Objects.checkIndex(segment, count);
        return state == State.RAN ? view.getShort(segment(segment) + GntdevLayout.SEGMENT_STATUS) : GENERAL_ERROR;
    }

    /** Forgets all segments, for the next turn. */
    public void clear() {
        count = 0;
        state = State.ADDING;
    }

    /** Returns where a segment's descriptor lies, for tests. */
    long segmentAddress(int segment) {
        return region.address() + segment(segment);
    }

    private static int segment(int number) {
        return FIRST_SEGMENT + number * GntdevLayout.SEGMENT_BYTES;
    }

    /** Names a status for a message to a person. ({@code GNTST_*}, Xen's {@code grant_table.h}.) */
    public static String describe(int status) {
        return switch (status) {
            case OKAY -> "okay";
            case GENERAL_ERROR -> "general error";
            case -2 -> "bad domain";
            case -3 -> "bad grant reference";
            case -8 -> "permission denied: not granted to us, or not for writing";
            case -9 -> "bad page";
            case -10 -> "bad copy argument";
            case -12 -> "page paged out";
            case -13 -> "no space";
            default -> "grant status " + status;
        };
    }

    @Override
    public void close() {
        region.release();
    }
}

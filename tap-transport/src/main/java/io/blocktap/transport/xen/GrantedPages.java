package io.blocktap.transport.xen;

import io.blocktap.transport.TapException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Objects;
import java.util.OptionalInt;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Pages that two domains share by grants, mapped side by side here: a guest's by {@link GrantDevice}, our own by {@link GrantAllocator}.
 *
 * <p>Ownership: {@link #close} takes the grants back and lets go of the mapping, which lives on until whoever else holds its region has let go as well; only
 * then the peer gets its pages. Threads: one at a time. What a peer can write may change at any moment.
 */
public final class GrantedPages implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(GrantedPages.class);

    private final Fd device;
    private final long index;
    private final long forgetRequest;
    private final int[] refs;
    private final MappedRegion region;
    private boolean closed;

    private GrantedPages(Fd device, long index, long forgetRequest, int[] refs, MappedRegion region) {
        this.device = device;
        this.index = index;
        this.forgetRequest = forgetRequest;
        this.refs = refs;
        this.region = region;
    }

    /**
     * Maps what a device has announced; forgets it if that fails.
     *
     * @param device stays owned by the caller
     * @param index where it offers the pages
     * @param forgetRequest the ioctl that takes them back
     * @param refs one grant reference a page; taken over
     */
    static GrantedPages map(Fd device, long index, long forgetRequest, int[] refs) throws NativeException {
        try {
            MappedRegion region = MappedRegion.sharedAt(device, index, refs.length * Libc.PAGE_BYTES);
            return new GrantedPages(device, index, forgetRequest, refs, region);
        } catch (NativeException e) {
            forget(device, index, forgetRequest, refs.length);
            throw e;
        }
    }

    /** Returns the grant references, one a page. */
    public int[] refs() {
        return refs.clone();
    }

    /** Returns the mapping, owned by this object: whoever uses it beyond {@link #close} retains it. */
    public MappedRegion region() {
        return region;
    }

    /** Returns the address of the first byte. */
    public long address() {
        return region.address();
    }

    /** Returns a view of all pages in little-endian order, with a position of its own. Valid while the region is. */
    public ByteBuffer view() {
        return region.view().duplicate().order(ByteOrder.LITTLE_ENDIAN);
    }

    /**
     * Tells the kernel what to do when these pages are unmapped, be it by the end of this process: so the peer learns that it is alone. Replaces
     * what was told before.
     *
     * @param clearByteOffset a byte to be set to zero
     * @param port an event channel of this process to be rung
     */
    public void setUnmapNotify(OptionalInt clearByteOffset, OptionalInt port) throws TapException {
        if (clearByteOffset.isPresent()) {
            Objects.checkIndex(clearByteOffset.getAsInt(), region.sizeBytes());
        }
        int action = (clearByteOffset.isPresent() ? GntdevLayout.UNMAP_NOTIFY_CLEAR_BYTE : 0)
                | (port.isPresent() ? GntdevLayout.UNMAP_NOTIFY_SEND_EVENT : 0);
        ByteBuffer argument = argument(GntdevLayout.NOTIFY_BYTES)
                .putLong(GntdevLayout.NOTIFY_INDEX, index + clearByteOffset.orElse(0))
                .putInt(GntdevLayout.NOTIFY_ACTION, action)
                .putInt(GntdevLayout.NOTIFY_EVENT_CHANNEL_PORT, port.orElse(0));
        int result = control(device, GntdevLayout.IOCTL_GNTDEV_SET_UNMAP_NOTIFY, argument);
        if (result < 0) {
            throw new TapException("no unmap notification can be set: " + Errno.describe(-result)
                    + (port.isPresent() && result == -Errno.EINVAL
                            ? "; event channel " + port.getAsInt() + " may not be bound by this process"
                            : ""));
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        region.release();
        if (device.isOpen()) { // else its end has taken all back
            forget(device, index, forgetRequest, refs.length);
        }
    }

    private static void forget(Fd device, long index, long forgetRequest, int count) {
        ByteBuffer argument = argument(GntdevLayout.UNMAP_BYTES)
                .putLong(GntdevLayout.UNMAP_INDEX, index)
                .putInt(GntdevLayout.UNMAP_COUNT, count);
        int result = control(device, forgetRequest, argument);
        if (result < 0) {
            LOG.warn("{} grants can not be taken back: {}", count, Errno.describe(-result));
        }
    }

    /** Makes a zeroed argument of an ioctl. */
    static ByteBuffer argument(int lengthBytes) {
        return ByteBuffer.allocateDirect(lengthBytes).order(ByteOrder.nativeOrder());
    }

    /** {@code ioctl(2)} on an argument, which stays reachable until the call is over. Returns its result or {@code -errno}. */
    static int control(Fd device, long request, ByteBuffer argument) {
        try {
            return Libc.control(device, request, Libc.addressOf(argument));
        } finally {
            Reference.reachabilityFence(argument);
        }
    }
}

package io.blocktap.transport.memory;

import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.netty.util.AbstractReferenceCounted;
import io.netty.util.ReferenceCounted;
import java.nio.ByteBuffer;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Owns one memory mapping and unmaps it when its last user has let go.
 *
 * <p>The creator holds the first reference. Whoever hands the memory to the kernel or to another thread retains it for as
 * long, so that a closed frontend never takes memory away from under a request. Any thread.
 */
public final class MappedRegion extends AbstractReferenceCounted {
    private static final AtomicInteger LIVE = new AtomicInteger();

    private final long address;
    private final int sizeBytes;
    private final ByteBuffer view;

    private MappedRegion(long address, int sizeBytes) {
        this.address = address;
        this.sizeBytes = sizeBytes;
        this.view = Libc.view(address, sizeBytes);
        LIVE.incrementAndGet();
    }

    /**
     * Maps the whole of a file, shared with whoever else maps it.
     *
     * @param fd stays owned by the caller; the mapping does not need it any more
     */
    public static MappedRegion shared(Fd fd, int sizeBytes) throws NativeException {
        return new MappedRegion(Libc.mapShared(fd, sizeBytes), sizeBytes);
    }

    /**
     * Maps what a driver offers at an offset of its device, shared: for example the pages of a grant.
     *
     * @param fd stays owned by the caller; the mapping does not need it any more
     */
    public static MappedRegion sharedAt(Fd fd, long offsetBytes, int sizeBytes) throws NativeException {
        return new MappedRegion(Libc.mapSharedAt(fd, offsetBytes, sizeBytes), sizeBytes);
    }

    /** Maps fresh private memory, zeroed and page-aligned. */
    public static MappedRegion anonymous(int sizeBytes) throws NativeException {
        return new MappedRegion(Libc.mapAnonymous(sizeBytes), sizeBytes);
    }

    /**
     * As {@link #anonymous}, for who can not go on without it.
     *
     * @throws OutOfMemoryError if the machine has no memory
     */
    public static MappedRegion anonymousOrFail(int sizeBytes) {
        try {
            return anonymous(sizeBytes);
        } catch (NativeException e) {
            throw (OutOfMemoryError) new OutOfMemoryError(sizeBytes + " bytes").initCause(e);
        }
    }

    /** As {@link #anonymous}, for memory that is used here and there: one written byte costs one page, never a huge one. */
    public static MappedRegion sparse(int sizeBytes) throws NativeException {
        MappedRegion region = anonymous(sizeBytes);
        Libc.avoidHugePages(region.address, sizeBytes);
        return region;
    }

    /** Returns how many regions of this process are mapped now: a test's proof that none leaks. */
    public static int liveRegions() {
        return LIVE.get();
    }

    /** Returns the address of the first byte. */
    public long address() {
        return address;
    }

    /** Returns the size in bytes. */
    public int sizeBytes() {
        return sizeBytes;
    }

    /** Returns a view in native byte order; use absolute methods only, it is shared. Valid while the region is. */
    public ByteBuffer view() {
        return view;
    }

    /** Returns a view of its own (position and limit are the caller's) of a part, in native byte order. */
    public ByteBuffer slice(int offsetBytes, int lengthBytes) {
        return view.slice(offsetBytes, lengthBytes).order(view.order());
    }

    /**
     * Gives the memory behind whole pages of an anonymous region back to the system; they read as zeroes afterwards. Who reads or
     * writes them meanwhile meets the old page or a zeroed one.
     *
     * @param offsetBytes a multiple of {@link Libc#PAGE_BYTES}
     * @param lengthBytes a multiple of {@link Libc#PAGE_BYTES}
     */
    public void releasePages(int offsetBytes, int lengthBytes) {
        java.util.Objects.checkFromIndexSize(offsetBytes, lengthBytes, sizeBytes);
        Libc.releasePages(address + offsetBytes, lengthBytes);
    }

    @Override
    public MappedRegion retain() {
        super.retain();
        return this;
    }

    @Override
    public ReferenceCounted touch(Object hint) {
        return this;
    }

    @Override
    protected void deallocate() {
        Libc.unmap(address, sizeBytes);
        LIVE.decrementAndGet();
    }
}

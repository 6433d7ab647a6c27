package io.blocktap.transport.xen;

import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.NativeException;
import java.nio.ByteBuffer;

/**
 * {@code /dev/xen/gntalloc}: makes pages and grants them to another domain, or to our own: what a frontend in user space needs, with which the backend is
 * tested without a guest. Any thread; close it after all that was made from it.
 */
public final class GrantAllocator implements AutoCloseable {
    /** What the peer may do with the pages. */
    public enum PeerAccess {
        /** Read only. */
        READ,
        /** Read and write. */
        READ_WRITE
    }

    private final Fd fd;

    GrantAllocator(Fd fd) {
        this.fd = fd;
    }

    /** Opens the device. */
    public static GrantAllocator open(XenDevices devices) throws TapException {
        return new GrantAllocator(devices.open(XenDevices.Device.GNTALLOC));
    }

    /**
     * Makes zeroed pages and grants them.
     *
     * @param domid who may map and copy them
     * @param pages how many; the kernel has 1024 of them in all, by default
     * @return the pages, owned by the caller; one that the peer still maps is freed when it lets go
     */
    public GrantedPages allocate(int domid, int pages, PeerAccess access) throws TapException {
        if (pages < 1) {
            throw new IllegalArgumentException(pages + " pages to grant");
        }
        ByteBuffer argument = GrantedPages.argument(GntallocLayout.ALLOC_GREF_IDS + pages * GntallocLayout.GREF_BYTES)
                .putShort(GntallocLayout.ALLOC_DOMID, (short) domid)
                .putShort(GntallocLayout.ALLOC_FLAGS, (short)
                        (access == PeerAccess.READ_WRITE ? GntallocLayout.GNTALLOC_FLAG_WRITABLE : 0))
                .putInt(GntallocLayout.ALLOC_COUNT, pages);
        int result = GrantedPages.control(fd, GntallocLayout.IOCTL_GNTALLOC_ALLOC_GREF, argument);
        if (result < 0) {
            throw new TapException(refusal(domid, pages, -result));
        }
        int[] refs = new int[pages];
        for (int i = 0; i < pages; i++) {
            refs[i] = argument.getInt(GntallocLayout.ALLOC_GREF_IDS + i * GntallocLayout.GREF_BYTES);
        }
        long index = argument.getLong(GntallocLayout.ALLOC_INDEX);
        try {
            return GrantedPages.map(fd, index, GntallocLayout.IOCTL_GNTALLOC_DEALLOC_GREF, refs);
        } catch (NativeException e) {
            throw new TapException(refusal(domid, pages, e.errno()), e);
        }
    }

    private static String refusal(int domid, int pages, int errno) {
        return pages + " pages can not be granted to domain " + domid + ": " + Errno.describe(errno)
                + (errno == Errno.ENOSPC ? "; raise the limit: /sys/module/xen_gntalloc/parameters/limit" : "");
    }

    @Override
    public void close() {
        fd.close();
    }
}

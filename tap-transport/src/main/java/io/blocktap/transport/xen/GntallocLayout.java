package io.blocktap.transport.xen;

/**
 * Requests of {@code /dev/xen/gntalloc}, and where the fields of their arguments lie. The unmap notification is that of {@link GntdevLayout}, its number too.
 * Source: Linux {@code include/uapi/xen/gntalloc.h}; equal on x86_64 and aarch64.
 *
 * <pre>
 *  alloc_gref:     domid u16 | flags u16 | count u32 | index u64 (out) | gref_ids[count] u32 (out)
 *  dealloc_gref:   index u64 | count u32 | pad u32
 * </pre>
 */
final class GntallocLayout {
    /** Makes pages and grants them to a domain. */
    static final long IOCTL_GNTALLOC_ALLOC_GREF = 0x00184705L;
    /** Ends grants; a page that the peer still maps stays until it lets go. */
    static final long IOCTL_GNTALLOC_DEALLOC_GREF = 0x00104706L;

    /** Offset in {@code ioctl_gntalloc_alloc_gref}: who may map, u16. */
    static final int ALLOC_DOMID = 0;
    /** Offset in {@code ioctl_gntalloc_alloc_gref}: flags, u16. */
    static final int ALLOC_FLAGS = ALLOC_DOMID + 2;
    /** Offset in {@code ioctl_gntalloc_alloc_gref}: number of pages, u32. */
    static final int ALLOC_COUNT = ALLOC_FLAGS + 2;
    /** Offset in {@code ioctl_gntalloc_alloc_gref}: where to map, u64, told by the device. */
    static final int ALLOC_INDEX = ALLOC_COUNT + 4;
    /** Offset in {@code ioctl_gntalloc_alloc_gref}: the first grant reference, u32, told by the device. */
    static final int ALLOC_GREF_IDS = ALLOC_INDEX + 8;
    /** Size of a grant reference. */
    static final int GREF_BYTES = 4;
    /** Flag: the peer may write. */
    static final int GNTALLOC_FLAG_WRITABLE = 1;

    /** Offset in {@code ioctl_gntalloc_dealloc_gref}: where it was mapped, u64. */
    static final int DEALLOC_INDEX = 0;
    /** Offset in {@code ioctl_gntalloc_dealloc_gref}: number of pages, u32. */
    static final int DEALLOC_COUNT = DEALLOC_INDEX + 8;

    private GntallocLayout() {}
}

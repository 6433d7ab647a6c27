package io.blocktap.transport.xen;

/**
 * Requests of {@code /dev/xen/gntdev}, and where the fields of their arguments lie. Source: Linux {@code include/uapi/xen/gntdev.h}; equal on
 * x86_64 and aarch64.
 *
 * <pre>
 *  map_grant_ref:     count u32 | pad u32 | index u64 (out) | refs[count] of { domid u32 | ref u32 }
 *  unmap_grant_ref:   index u64 | count u32 | pad u32
 *  unmap_notify:      index u64 | action u32 | event_channel_port u32
 *  grant_copy:        count u32 | pad u32 | segments u64 (address)
 *
 *  grant_copy_segment, 24 bytes:
 *             0               4          6         8                                16     18      20       22
 *  source:   | virtual address, u64                |
 *         or | ref u32        |offset u16|domid u16| dest, alike                    |len   |flags  |status  | pad u16 |
 *                                                                                    u16    u16     s16 (out)
 * </pre>
 */
final class GntdevLayout {
    /** Announces grants of another domain to the device, which are mapped by mmap at the index that it tells. */
    static final long IOCTL_GNTDEV_MAP_GRANT_REF = 0x00184700L;
    /** Takes grants back; a mapping made from them lives on until it is unmapped. */
    static final long IOCTL_GNTDEV_UNMAP_GRANT_REF = 0x00104701L;
    /** Tells what the kernel does when grants are unmapped, by a crash too. */
    static final long IOCTL_GNTDEV_SET_UNMAP_NOTIFY = 0x00104707L;
    /** Copies from and to pages of other domains. */
    static final long IOCTL_GNTDEV_GRANT_COPY = 0x00104708L;

    /** Offset in {@code ioctl_gntdev_map_grant_ref}: number of grants, u32. */
    static final int MAP_COUNT = 0;
    /** Offset in {@code ioctl_gntdev_map_grant_ref}: where to map, u64, told by the device. */
    static final int MAP_INDEX = MAP_COUNT + 4 + 4;
    /** Offset in {@code ioctl_gntdev_map_grant_ref}: the first grant. */
    static final int MAP_REFS = MAP_INDEX + 8;
    /** Offset in {@code ioctl_gntdev_grant_ref}: domain id, u32. */
    static final int REF_DOMID = 0;
    /** Offset in {@code ioctl_gntdev_grant_ref}: grant reference, u32. */
    static final int REF_REF = REF_DOMID + 4;
    /** Size of {@code ioctl_gntdev_grant_ref}. */
    static final int REF_BYTES = REF_REF + 4;

    /** Offset in {@code ioctl_gntdev_unmap_grant_ref}: where it was mapped, u64. */
    static final int UNMAP_INDEX = 0;
    /** Offset in {@code ioctl_gntdev_unmap_grant_ref}: number of grants, u32. */
    static final int UNMAP_COUNT = UNMAP_INDEX + 8;
    /** Size of {@code ioctl_gntdev_unmap_grant_ref}. */
    static final int UNMAP_BYTES = UNMAP_COUNT + 4 + 4;

    /** Offset in {@code ioctl_gntdev_unmap_notify}: a byte of the mapping, u64. */
    static final int NOTIFY_INDEX = 0;
    /** Offset in {@code ioctl_gntdev_unmap_notify}: what to do, u32. */
    static final int NOTIFY_ACTION = NOTIFY_INDEX + 8;
    /** Offset in {@code ioctl_gntdev_unmap_notify}: the port to ring, u32. */
    static final int NOTIFY_EVENT_CHANNEL_PORT = NOTIFY_ACTION + 4;
    /** Size of {@code ioctl_gntdev_unmap_notify}. */
    static final int NOTIFY_BYTES = NOTIFY_EVENT_CHANNEL_PORT + 4;
    /** Action: set the byte at the index to zero. */
    static final int UNMAP_NOTIFY_CLEAR_BYTE = 1;
    /** Action: ring the port. */
    static final int UNMAP_NOTIFY_SEND_EVENT = 2;

    /** Offset in {@code ioctl_gntdev_grant_copy}: number of segments, u32. */
    static final int COPY_COUNT = 0;
    /** Offset in {@code ioctl_gntdev_grant_copy}: address of the segments, u64. */
    static final int COPY_SEGMENTS = COPY_COUNT + 4 + 4;
    /** Size of {@code ioctl_gntdev_grant_copy}. */
    static final int COPY_BYTES = COPY_SEGMENTS + 8;

    /** Offset in {@code gntdev_grant_copy_segment}: source, 8 bytes. */
    static final int SEGMENT_SOURCE = 0;
    /** Offset in {@code gntdev_grant_copy_segment}: destination, 8 bytes. */
    static final int SEGMENT_DEST = SEGMENT_SOURCE + 8;
    /** Offset in {@code gntdev_grant_copy_segment}: bytes, u16. */
    static final int SEGMENT_LEN = SEGMENT_DEST + 8;
    /** Offset in {@code gntdev_grant_copy_segment}: which sides are foreign, u16. */
    static final int SEGMENT_FLAGS = SEGMENT_LEN + 2;
    /** Offset in {@code gntdev_grant_copy_segment}: what came of it, s16, told by the device. */
    static final int SEGMENT_STATUS = SEGMENT_FLAGS + 2;
    /** Size of {@code gntdev_grant_copy_segment}. */
    static final int SEGMENT_BYTES = SEGMENT_STATUS + 2 + 2;

    /** Offset in a source or destination in our memory: address, u64. */
    static final int SIDE_VIRT = 0;
    /** Offset in a foreign source or destination: grant reference, u32. */
    static final int SIDE_REF = 0;
    /** Offset in a foreign source or destination: first byte in the page, u16. */
    static final int SIDE_OFFSET = SIDE_REF + 4;
    /** Offset in a foreign source or destination: domain id, u16. */
    static final int SIDE_DOMID = SIDE_OFFSET + 2;

    /** Flag of a segment: the source is foreign. */
    static final int GNTCOPY_SOURCE_GREF = 1;
    /** Flag of a segment: the destination is foreign. */
    static final int GNTCOPY_DEST_GREF = 2;

    private GntdevLayout() {}
}

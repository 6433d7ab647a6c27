package io.blocktap.transport.xen;

import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * {@code /dev/xen/gntdev}: maps pages that other domains have granted to ours, and is what {@link GrantCopy} copies through.
 *
 * <p>Mapped pages are for rings. Data is copied: it needs no entry of Xen's table of mappings, and a page that is copied can not change under a request. Any
 * thread; close it after all that was made from it.
 *
 * <p>Tests have a model of it, for machines without Xen.
 */
public class GrantDevice implements AutoCloseable {
    private final Fd fd;

    GrantDevice(Fd fd) {
        this.fd = fd;
    }

    /** Opens the device. */
    public static GrantDevice open(XenDevices devices) throws TapException {
        return new GrantDevice(devices.open(XenDevices.Device.GNTDEV));
    }

    /**
     * Maps granted pages side by side, for reading and writing.
     *
     * @param domid who granted them
     * @param refs one grant reference a page
     * @return the pages, owned by the caller
     * @throws TapException if one of them is not granted to us for writing
     */
    public GrantedPages map(int domid, int... refs) throws TapException {
        if (refs.length == 0) {
            throw new IllegalArgumentException("no grant to map");
        }
        ByteBuffer argument = GrantedPages.argument(GntdevLayout.MAP_REFS + refs.length * GntdevLayout.REF_BYTES)
                .putInt(GntdevLayout.MAP_COUNT, refs.length);
        for (int i = 0; i < refs.length; i++) {
            int at = GntdevLayout.MAP_REFS + i * GntdevLayout.REF_BYTES;
            argument.putInt(at + GntdevLayout.REF_DOMID, domid).putInt(at + GntdevLayout.REF_REF, refs[i]);
        }
        int result = GrantedPages.control(fd, GntdevLayout.IOCTL_GNTDEV_MAP_GRANT_REF, argument);
        if (result < 0) {
            throw new TapException(refusal(domid, refs, -result));
        }
        try {
            long index = argument.getLong(GntdevLayout.MAP_INDEX);
            return GrantedPages.map(fd, index, GntdevLayout.IOCTL_GNTDEV_UNMAP_GRANT_REF, refs.clone());
        } catch (NativeException e) {
            throw new TapException(refusal(domid, refs, e.errno()), e); // Xen looks at the grants only now
        }
    }

    private static String refusal(int domid, int[] refs, int errno) {
        String which = refs.length <= 16 ? Arrays.toString(refs) : refs.length + " of them";
        return "grants " + which + " of domain " + domid + " can not be mapped: " + Errno.describe(errno)
                + (errno == Errno.EINVAL ? "; they are not granted to this domain for writing" : "");
    }

    /** Copies; see {@link GrantCopy}. Returns 0 or {@code -errno}. */
    int copy(long argumentAddress) {
        return Libc.control(fd, GntdevLayout.IOCTL_GNTDEV_GRANT_COPY, argumentAddress);
    }

    @Override
    public void close() {
        fd.close();
    }
}

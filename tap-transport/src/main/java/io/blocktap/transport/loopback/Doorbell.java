package io.blocktap.transport.loopback;

import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.NativeException;
import java.io.IOException;

/** Rings an eventfd: one write of the number 1. */
final class Doorbell {
    private static final MappedRegion ONE;

    static {
        try {
            ONE = MappedRegion.anonymous(4096);
        } catch (NativeException e) {
            throw new ExceptionInInitializerError(e);
        }
        ONE.view().putLong(0, 1);
    }

    private Doorbell() {}

    /** Writes through Netty's JNI, which costs two thirds of the same call by JNA. Returns bytes written or {@code -errno}. */
    static int ring(Fd eventFd) {
        try {
            int written = eventFd.nettyView().writeAddress(ONE.address(), 0, 8);
            return written == 0 ? -io.blocktap.transport.sys.Errno.EAGAIN : written;
        } catch (IOException e) {
            return -io.blocktap.transport.sys.Errno.EIO;
        }
    }
}

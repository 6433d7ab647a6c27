package io.blocktap.transport.xen;

import io.blocktap.transport.sys.Fd;

/**
 * What {@link EventChannels} asks of the kernel. There is one implementation here, {@link EvtchnDevice}; tests have a model of the driver, for what no real
 * kernel can be made to do (a queue that overflows), and for machines without Xen.
 *
 * <p>All results are as a system call's: a number, or {@code -errno}. Threads: the event loop of the channels.
 */
interface EventDevice extends AutoCloseable {
    /** Returns the descriptor to watch, owned by this object. */
    Fd fd();

    /** Binds to an offered port of a domain. Returns the local port. */
    int bindInterdomain(int domid, int remotePort);

    /** Offers a new port to a domain. Returns it. */
    int bindUnbound(int domid);

    /** Gives a port back. */
    int unbind(int port);

    /** Rings the other end of a port. */
    int notifyPort(int port);

    /** Empties the queue and ends its overflow. */
    int reset();

    /** Takes ports that rang off the queue, u32 each. Returns bytes. They are masked until they are written back. */
    int read(long address, int lengthBytes);

    /** Unmasks ports. Returns bytes taken, at most {@link EvtchnLayout#MAX_TRANSFER_BYTES}. */
    int write(long address, int lengthBytes);

    @Override
    void close();
}

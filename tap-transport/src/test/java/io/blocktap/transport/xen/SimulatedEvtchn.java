package io.blocktap.transport.xen;

import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;

/**
 * A model of {@code /dev/xen/evtchn} and of the hypervisor behind it, after {@code drivers/xen/evtchn.c}: one domain whose ports ring each other. A delivered port is
 * masked until it is written back, and latched meanwhile; the queue rings a reader only when it was empty; it overflows where it is told to. Any thread.
 */
final class SimulatedEvtchn implements EventDevice {
    /** The hypervisor: all ports of the domain. */
    static final class Hypervisor {
        private final Port[] ports = new Port[1 << 17];
        private int next;

        Hypervisor(int firstPort) {
            this.next = firstPort;
        }

        private synchronized Port add(SimulatedEvtchn owner) {
            while (ports[next] != null) {
                next++;
            }
            Port port = new Port(owner, next);
            ports[next] = port;
            return port;
        }
    }

    private static final class Port {
        private final SimulatedEvtchn owner;
        private final int number;
        private int peer;
        private boolean masked;
        private boolean latched;

        Port(SimulatedEvtchn owner, int number) {
            this.owner = owner;
            this.number = number;
        }
    }

    private final Hypervisor hypervisor;
    private final Fd doorbell = eventFd();
    private final ByteBuffer one =
            ByteBuffer.allocateDirect(8).order(ByteOrder.nativeOrder()).putLong(0, 1);
    private final long oneAddress = Libc.addressOf(one);
    private final ByteBuffer countBytes = ByteBuffer.allocateDirect(8);
    private final long countAddress = Libc.addressOf(countBytes);
    private final int[] queue;
    private int consumed;
    private int produced;
    private boolean overflowed;
    private boolean forgetful;
    private boolean failing;

    /** What was written, a list of ports each; recorded only when told so. */
    final List<List<Integer>> writes = new ArrayList<>();

    /** How often was read. */
    int reads;

    boolean recording = true;

    SimulatedEvtchn(Hypervisor hypervisor, int queueLength) {
        this.hypervisor = hypervisor;
        this.queue = new int[queueLength];
    }

    private static Fd eventFd() {
        try {
            return Libc.eventFd();
        } catch (NativeException e) {
            throw new AssertionError(e);
        }
    }

    @Override
    public Fd fd() {
        return doorbell;
    }

    @Override
    public int bindInterdomain(int domid, int remotePort) {
        synchronized (hypervisor) {
            Port peer = hypervisor.ports[remotePort];
            if (peer == null || peer.peer != 0) {
                return -Errno.EINVAL;
            }
            Port port = hypervisor.add(this);
            port.peer = remotePort;
            peer.peer = port.number;
            ring(port);
            return port.number;
        }
    }

    @Override
    public int bindUnbound(int domid) {
        return hypervisor.add(this).number;
    }

    @Override
    public int unbind(int number) {
        synchronized (hypervisor) {
            Port port = mine(number);
            if (port == null) {
                return -Errno.ENOTCONN;
            }
            if (port.peer != 0) {
                hypervisor.ports[port.peer].peer = 0;
            }
            hypervisor.ports[number] = null;
            hypervisor.next = Math.min(hypervisor.next, number); // numbers are given out anew
            return 0;
        }
    }

    private Port mine(int number) {
        Port port = hypervisor.ports[number];
        return port != null && port.owner == this ? port : null;
    }

    @Override
    public int notifyPort(int number) {
        synchronized (hypervisor) {
            Port port = mine(number);
            if (port == null) {
                return -Errno.ENOTCONN;
            }
            if (port.peer != 0) {
                Port peer = hypervisor.ports[port.peer];
                peer.owner.ring(peer);
            }
            return 0;
        }
    }

    private void ring(Port port) {
        if (port.masked) {
            port.latched = true;
            return;
        }
        port.masked = true;
        if (produced - consumed == queue.length) {
            overflowed = true;
            return;
        }
        queue[produced++ % queue.length] = port.number;
        if (forgetful) {
            forgetful = false;
        } else if (produced - consumed == 1) {
            Libc.writeBytes(doorbell, oneAddress, 8);
        }
    }

    /** Makes the next read fail, for no reason that there is in the real driver. */
    void failNextRead() {
        synchronized (hypervisor) {
            failing = true;
        }
    }

    /** Lets the race of the driver happen: the next port comes into the queue, and no reader is woken. */
    void forgetNextWakeUp() {
        synchronized (hypervisor) {
            forgetful = true;
        }
    }

    @Override
    public int reset() {
        synchronized (hypervisor) {
            consumed = produced;
            overflowed = false;
            Libc.readBytes(doorbell, countAddress, 8);
            return 0;
        }
    }

    @Override
    public int read(long address, int lengthBytes) {
        synchronized (hypervisor) {
            reads++;
            if (failing) {
                failing = false;
                return -Errno.EIO;
            }
            if (overflowed) {
                return -Errno.EFBIG;
            }
            if (consumed == produced) {
                return -Errno.EAGAIN;
            }
            ByteBuffer target = recording ? Libc.view(address, lengthBytes) : shared(address, lengthBytes);
            int bytes = Math.min((produced - consumed) * 4, Math.min(lengthBytes, 4096));
            for (int at = 0; at < bytes; at += 4) {
                target.putInt(at, queue[consumed++ % queue.length]);
            }
            if (consumed == produced) {
                Libc.readBytes(doorbell, countAddress, 8); // readable as long as there are ports
            }
            return bytes;
        }
    }

    @Override
    public int write(long address, int lengthBytes) {
        synchronized (hypervisor) {
            ByteBuffer source = recording ? Libc.view(address, lengthBytes) : shared(address, lengthBytes);
            int bytes = Math.min(lengthBytes, 4096);
            List<Integer> written = recording ? new ArrayList<>() : List.of();
            for (int at = 0; at < bytes; at += 4) {
                int number = source.getInt(at);
                if (recording) {
                    written.add(number);
                }
                Port port = mine(number);
                if (port != null && port.masked) {
                    port.masked = false;
                    if (port.latched) {
                        port.latched = false;
                        ring(port);
                    }
                }
            }
            if (recording) {
                writes.add(written);
            }
            return bytes;
        }
    }

    private ByteBuffer lastView = ByteBuffer.allocate(0);
    private long lastAddress;

    /** The same view for the same address, so that the model itself allocates nothing where allocation is measured. */
    private ByteBuffer shared(long address, int lengthBytes) {
        if (address != lastAddress || lastView.capacity() < lengthBytes) {
            lastView = Libc.view(address, lengthBytes);
            lastAddress = address;
        }
        return lastView;
    }

    @Override
    public void close() {
        synchronized (hypervisor) {
            for (int number = 0; number < hypervisor.ports.length; number++) {
                if (mine(number) != null) {
                    unbind(number);
                }
            }
        }
        doorbell.close();
    }
}

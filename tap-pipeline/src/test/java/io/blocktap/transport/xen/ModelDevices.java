package io.blocktap.transport.xen;

import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.netty.channel.EventLoop;
import io.netty.util.concurrent.Future;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;

/** Models of gntdev and evtchn, as far as a ring needs them whose requests carry no data. Here, because the devices are this package's own. */
public final class ModelDevices {
    /** A page for which the machine has no memory when it is mapped. */
    public static final int NO_MEMORY = 4711;

    private ModelDevices() {}

    /** Makes a gntdev for guests that all have the same memory; grant reference N is its page N, references of one ring follow one another. */
    public static GrantDevice grants(Fd guestMemory) {
        return new GrantDevice(guestMemory) {
            @Override
            public GrantedPages map(int domid, int... refs) throws TapException {
                if (refs[0] == NO_MEMORY) {
                    throw new OutOfMemoryError("the model has no memory for page " + NO_MEMORY);
                }
                try (Fd again = Libc.openFile("/proc/self/fd/" + guestMemory.number(), Libc.O_RDWR, 0)) {
                    // Closed right after: nothing has to be told to the device when the pages are let go.
                    return GrantedPages.map(again, refs[0] * 4096L, 0, refs.clone());
                } catch (NativeException e) {
                    throw new TapException("the model maps no page " + refs[0], e);
                }
            }

            @Override
            public void close() {
                // the memory is the test's
            }
        };
    }

    /** Opens event channels that ring once, when they are bound to a guest's, as Xen does. */
    public static Future<EventChannels> events(EventLoop loop) throws NativeException {
        return EventChannels.open(loop, new OnceDevice(Libc.eventFd()));
    }

    private static final class OnceDevice implements EventDevice {
        private final Fd fd;
        private final ArrayDeque<Integer> rang = new ArrayDeque<>();
        private int nextPort = 1;

        OnceDevice(Fd fd) {
            this.fd = fd;
        }

        @Override
        public Fd fd() {
            return fd;
        }

        @Override
        public int bindInterdomain(int domid, int remotePort) {
            rang.add(nextPort);
            ByteBuffer one =
                    ByteBuffer.allocateDirect(8).order(ByteOrder.nativeOrder()).putLong(0, 1);
            Libc.writeBytes(fd, Libc.addressOf(one), 8);
            return nextPort++;
        }

        @Override
        public int bindUnbound(int domid) {
            return nextPort++;
        }

        @Override
        public int unbind(int port) {
            return 0;
        }

        @Override
        public int notifyPort(int port) {
            return 0;
        }

        @Override
        public int reset() {
            return 0;
        }

        @Override
        public int read(long address, int lengthBytes) {
            Integer port = rang.poll();
            if (port == null) {
                return -Errno.EAGAIN;
            }
            Libc.view(address, 4).order(ByteOrder.nativeOrder()).putInt(0, port);
            return 4;
        }

        @Override
        public int write(long address, int lengthBytes) {
            return lengthBytes;
        }

        @Override
        public void close() {
            fd.close();
        }
    }
}

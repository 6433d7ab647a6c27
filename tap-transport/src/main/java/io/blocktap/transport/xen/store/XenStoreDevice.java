package io.blocktap.transport.xen.store;

import io.blocktap.transport.FdPoll;
import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.netty.channel.EventLoop;
import io.netty.util.concurrent.Future;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * The kernel's way to xenstored, {@code /dev/xen/xenbus}: there in every domain that uses Linux, wherever xenstored runs.
 *
 * <p>One message a {@code write(2)}: what comes behind the first one would be dropped. Reads are a stream. Threads: the event loop.
 */
final class XenStoreDevice {
    /**
     * Most requests without an answer: the kernel keeps a request where it was written, in the one buffer of the open file, until its thread has passed it on; the
     * next one written before that corrupts it. ({@code xenbus_dev_request_and_reply} in Linux {@code drivers/xen/xenbus/xenbus_xs.c}; seen with 6.12.)
     */
    static final int MAX_OUTSTANDING = 1;
    /** Result of {@link #send}: not now. */
    static final int LATER = -1;

    private static final List<Path> NODES = List.of(Path.of("/dev/xen/xenbus"), Path.of("/proc/xen/xenbus"));
    private static final int READ_BYTES = 8192;

    private final Fd fd;
    private final ByteBuffer out =
            ByteBuffer.allocateDirect(XsWire.DEVICE_MESSAGE_MAX).order(ByteOrder.nativeOrder());
    private final ByteBuffer in = ByteBuffer.allocateDirect(READ_BYTES);
    private @Nullable FdPoll poll;
    private @Nullable XenStore store;

    private XenStoreDevice(Fd fd) {
        this.fd = fd;
    }

    static CompletableFuture<XenStore> open(EventLoop loop) {
        CompletableFuture<XenStore> opened = new CompletableFuture<>();
        XenStoreDevice device;
        try {
            device = new XenStoreDevice(openNode());
        } catch (TapException e) {
            return CompletableFuture.failedFuture(e);
        }
        XenStore store = new XenStore(loop, device);
        device.store = store;
        FdPoll.attach(loop, device.fd, FdPoll.IN | FdPoll.OUT, device::ready, () -> store.lost("the event loop ends"))
                .addListener((Future<FdPoll> attached) -> {
                    if (attached.isSuccess()) {
                        device.poll = attached.getNow();
                        loop.execute(() -> opened.complete(store));
                    } else {
                        device.fd.close();
                        opened.completeExceptionally(attached.cause());
                    }
                });
        return opened;
    }

    private static Fd openNode() throws TapException {
        for (Path node : NODES) {
            if (Files.exists(node)) {
                try {
                    return Libc.openFile(node.toString(), Libc.O_RDWR | Libc.O_NONBLOCK, 0);
                } catch (NativeException e) {
                    throw new TapException(
                            node + " can not be opened: " + Errno.describe(e.errno())
                                    + (e.errno() == Errno.EACCES || e.errno() == Errno.EPERM ? "; run as root" : ""),
                            e);
                }
            }
        }
        throw new TapException(NODES.get(0)
                + " is not there: this machine is not a Xen domain, or its module is not loaded (modprobe xenfs)");
    }

    /** Sends a message. Returns 0, an errno, or {@link #LATER}: {@link XenStore#writable} is called then. */
    int send(int type, int requestId, int transaction, byte[] payload) {
        out.clear()
                .putInt(type)
                .putInt(requestId)
                .putInt(transaction)
                .putInt(payload.length)
                .put(payload);
        long result = Libc.writeBytes(fd, Libc.addressOf(out), out.position());
        if (result == -Errno.EAGAIN) {
            return LATER;
        }
        return result < 0 ? (int) -result : 0;
    }

    static String errorName(int errno) {
        String described = Errno.describe(errno);
        int end = described.indexOf(' ');
        return end < 0 ? described : described.substring(0, end);
    }

    private void ready(int events) {
        XenStore its = store;
        if (its == null) {
            return;
        }
        try {
            while (fd.isOpen()) {
                long result = Libc.readBytes(fd, Libc.addressOf(in), READ_BYTES);
                if (result == -Errno.EAGAIN) {
                    break;
                }
                if (result == -Errno.EINTR) {
                    continue;
                }
                if (result <= 0) {
                    its.lost(result == 0 ? "the device has ended" : "read: " + Errno.describe((int) -result));
                    return;
                }
                its.parser().accept(in.clear().limit((int) result));
            }
        } catch (XenStoreException e) {
            its.lost(e.getMessage());
            return;
        }
        if ((events & FdPoll.OUT) != 0) {
            its.writable();
        }
    }

    void close() {
        FdPoll watching = poll;
        if (watching != null) {
            watching.detach();
        }
        fd.close();
    }
}

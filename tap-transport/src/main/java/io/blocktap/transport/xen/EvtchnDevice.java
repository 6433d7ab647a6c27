package io.blocktap.transport.xen;

import io.blocktap.transport.TapException;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** {@code /dev/xen/evtchn}. Allocates nothing after it was opened. */
final class EvtchnDevice implements EventDevice {
    private final Fd fd;
    private final ByteBuffer argument =
            ByteBuffer.allocateDirect(EvtchnLayout.ARGUMENT_BYTES).order(ByteOrder.nativeOrder());
    private final long argumentAddress = Libc.addressOf(argument);

    private EvtchnDevice(Fd fd) {
        this.fd = fd;
    }

    static EvtchnDevice open(XenDevices devices) throws TapException {
        return new EvtchnDevice(devices.open(XenDevices.Device.EVTCHN));
    }

    @Override
    public Fd fd() {
        return fd;
    }

    @Override
    public int bindInterdomain(int domid, int remotePort) {
        argument.putInt(EvtchnLayout.INTERDOMAIN_REMOTE_DOMAIN, domid);
        argument.putInt(EvtchnLayout.INTERDOMAIN_REMOTE_PORT, remotePort);
        return Libc.control(fd, EvtchnLayout.IOCTL_EVTCHN_BIND_INTERDOMAIN, argumentAddress);
    }

    @Override
    public int bindUnbound(int domid) {
        argument.putInt(EvtchnLayout.UNBOUND_REMOTE_DOMAIN, domid);
        return Libc.control(fd, EvtchnLayout.IOCTL_EVTCHN_BIND_UNBOUND_PORT, argumentAddress);
    }

    @Override
    public int unbind(int port) {
        argument.putInt(EvtchnLayout.PORT, port);
        return Libc.control(fd, EvtchnLayout.IOCTL_EVTCHN_UNBIND, argumentAddress);
    }

    @Override
    public int notifyPort(int port) {
        argument.putInt(EvtchnLayout.PORT, port);
        return Libc.control(fd, EvtchnLayout.IOCTL_EVTCHN_NOTIFY, argumentAddress);
    }

    @Override
    public int reset() {
        return Libc.control(fd, EvtchnLayout.IOCTL_EVTCHN_RESET, 0);
    }

    @Override
    public int read(long address, int lengthBytes) {
        return (int) Libc.readBytes(fd, address, lengthBytes);
    }

    @Override
    public int write(long address, int lengthBytes) {
        return (int) Libc.writeBytes(fd, address, lengthBytes);
    }

    @Override
    public void close() {
        fd.close();
    }
}

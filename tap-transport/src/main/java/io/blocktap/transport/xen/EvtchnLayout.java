package io.blocktap.transport.xen;

/**
 * Requests of {@code /dev/xen/evtchn}, and where the fields of their arguments lie. Source: Linux {@code include/uapi/xen/evtchn.h}; equal on
 * x86_64 and aarch64.
 *
 * <pre>
 *  bind_interdomain:   remote_domain u32 | remote_port u32
 *  bind_unbound_port:  remote_domain u32
 *  unbind, notify:     port u32
 *  read and write:     port u32, ...
 * </pre>
 */
final class EvtchnLayout {
    /** Binds to a port that another domain has offered; returns the local port. */
    static final long IOCTL_EVTCHN_BIND_INTERDOMAIN = 0x00084501L;
    /** Offers a new port to a domain; returns it. */
    static final long IOCTL_EVTCHN_BIND_UNBOUND_PORT = 0x00044502L;
    /** Gives a port back. */
    static final long IOCTL_EVTCHN_UNBIND = 0x00044503L;
    /** Rings the other end of a port. */
    static final long IOCTL_EVTCHN_NOTIFY = 0x00044504L;
    /** Empties the descriptor's queue and ends its overflow; no argument. */
    static final long IOCTL_EVTCHN_RESET = 0x00004505L;

    /** Offset in {@code ioctl_evtchn_bind_interdomain}: domain id, u32. */
    static final int INTERDOMAIN_REMOTE_DOMAIN = 0;
    /** Offset in {@code ioctl_evtchn_bind_interdomain}: the other domain's port, u32. */
    static final int INTERDOMAIN_REMOTE_PORT = INTERDOMAIN_REMOTE_DOMAIN + 4;
    /** Offset in {@code ioctl_evtchn_bind_unbound_port}: domain id, u32. */
    static final int UNBOUND_REMOTE_DOMAIN = 0;
    /** Offset in {@code ioctl_evtchn_unbind} and {@code ioctl_evtchn_notify}: local port, u32. */
    static final int PORT = 0;
    /** Size of the largest argument. */
    static final int ARGUMENT_BYTES = INTERDOMAIN_REMOTE_PORT + 4;

    /** Size of a port in what is read and written. */
    static final int PORT_BYTES = 4;
    /** Most bytes that one read or write takes; what is more is left out. */
    static final int MAX_TRANSFER_BYTES = 4096;

    private EvtchnLayout() {}
}

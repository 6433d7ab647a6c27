package io.blocktap.transport.xen.store;

/** Numbers of xenstore's messages; names as in Xen's {@code io/xs_wire.h}. */
final class XsWire {
    static final int XS_DIRECTORY = 1;
    static final int XS_READ = 2;
    static final int XS_WATCH = 4;
    static final int XS_UNWATCH = 5;
    static final int XS_TRANSACTION_START = 6;
    static final int XS_TRANSACTION_END = 7;
    static final int XS_WRITE = 11;
    static final int XS_MKDIR = 12;
    static final int XS_RM = 13;
    static final int XS_SET_PERMS = 14;
    static final int XS_WATCH_EVENT = 15;
    static final int XS_ERROR = 16;
    static final int XS_DIRECTORY_PART = 22;

    /** {@code struct xsd_sockmsg}: type, req_id, tx_id, len, each u32 in native order. */
    static final int HEADER_BYTES = 16;

    static final int TYPE = 0;
    static final int REQ_ID = 4;
    static final int TX_ID = 8;
    static final int LEN = 12;

    /** {@code XENSTORE_PAYLOAD_MAX}. */
    static final int PAYLOAD_MAX = 4096;
    /** What the device takes with its header. */
    static final int DEVICE_MESSAGE_MAX = 4096;

    private XsWire() {}
}

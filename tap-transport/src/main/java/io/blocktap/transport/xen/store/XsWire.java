package io.blocktap.transport.xen.store;

import io.netty.buffer.ByteBuf;
import java.nio.ByteOrder;

/**
 * Numbers of the xenstore wire format.
 *
 * <pre>
 *   0        4        8        12       16
 *   | type   | req_id | tx_id  | len    | len bytes ...      all u32 in the machine's own byte order
 * </pre>
 *
 * <p>Source: {@code xen/include/public/io/xs_wire.h}, {@code struct xsd_sockmsg} and {@code enum xsd_sockmsg_type}.
 */
final class XsWire {
    static final int HEADER_BYTES = 16;
    /** XENSTORE_PAYLOAD_MAX: a longer message costs the connection. */
    static final int PAYLOAD_MAX_BYTES = 4096;
    /** Linux keeps a message with its header in one buffer of 4096 bytes ({@code xenbus_dev_frontend.c, struct xenbus_file_priv}). */
    static final int DEVICE_PAYLOAD_MAX_BYTES = PAYLOAD_MAX_BYTES - HEADER_BYTES;

    static final int XS_DIRECTORY = 1;
    static final int XS_READ = 2;
    static final int XS_GET_PERMS = 3;
    static final int XS_WATCH = 4;
    static final int XS_UNWATCH = 5;
    static final int XS_TRANSACTION_START = 6;
    static final int XS_TRANSACTION_END = 7;
    static final int XS_GET_DOMAIN_PATH = 10;
    static final int XS_WRITE = 11;
    static final int XS_MKDIR = 12;
    static final int XS_RM = 13;
    static final int XS_SET_PERMS = 14;
    static final int XS_WATCH_EVENT = 15;
    static final int XS_ERROR = 16;
    static final int XS_IS_DOMAIN_INTRODUCED = 17;
    static final int XS_DIRECTORY_PART = 22;

    private static final int REQ_ID_AT = 4;
    private static final int TX_ID_AT = 8;
    private static final int LENGTH_AT = 12;
    private static final boolean LITTLE_ENDIAN = ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN;

    private XsWire() {}

    private static int getInt(ByteBuf buf, int index) {
        return LITTLE_ENDIAN ? buf.getIntLE(index) : buf.getInt(index);
    }

    /** Returns the type of the message whose header begins at an index. */
    static int type(ByteBuf buf, int header) {
        return getInt(buf, header);
    }

    static int reqId(ByteBuf buf, int header) {
        return getInt(buf, header + REQ_ID_AT);
    }

    static int txId(ByteBuf buf, int header) {
        return getInt(buf, header + TX_ID_AT);
    }

    /** Returns the length that a header tells, as it stands there: unchecked, unsigned. */
    static int lengthBytes(ByteBuf buf, int header) {
        return getInt(buf, header + LENGTH_AT);
    }

    /** Appends a message. */
    static void write(ByteBuf out, XsMessage message) {
        writeInt(out, message.type());
        writeInt(out, message.reqId());
        writeInt(out, message.txId());
        writeInt(out, message.payload().length);
        out.writeBytes(message.payload());
    }

    private static void writeInt(ByteBuf out, int value) {
        if (LITTLE_ENDIAN) {
            out.writeIntLE(value);
        } else {
            out.writeInt(value);
        }
    }

    /** Names an operation for a message to a person. */
    static String name(int type) {
        return switch (type) {
            case XS_DIRECTORY -> "DIRECTORY";
            case XS_READ -> "READ";
            case XS_GET_PERMS -> "GET_PERMS";
            case XS_WATCH -> "WATCH";
            case XS_UNWATCH -> "UNWATCH";
            case XS_TRANSACTION_START -> "TRANSACTION_START";
            case XS_TRANSACTION_END -> "TRANSACTION_END";
            case XS_GET_DOMAIN_PATH -> "GET_DOMAIN_PATH";
            case XS_WRITE -> "WRITE";
            case XS_MKDIR -> "MKDIR";
            case XS_RM -> "RM";
            case XS_SET_PERMS -> "SET_PERMS";
            case XS_WATCH_EVENT -> "WATCH_EVENT";
            case XS_ERROR -> "ERROR";
            case XS_IS_DOMAIN_INTRODUCED -> "IS_DOMAIN_INTRODUCED";
            case XS_DIRECTORY_PART -> "DIRECTORY_PART";
            default -> "operation " + Integer.toUnsignedString(type);
        };
    }
}

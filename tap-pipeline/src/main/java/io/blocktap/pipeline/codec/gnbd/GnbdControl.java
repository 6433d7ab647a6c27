package io.blocktap.pipeline.codec.gnbd;

import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/**
 * A request of the control side: a command, then a body whose length the command tells.
 *
 * <pre>
 * 0             4
 * | command u32 | body
 *
 * FENCE, UNFENCE  node[65]
 * KILL_GSERV      device[32] node[65]
 * LOGIN           timestamp u64, version u16, padding[6], device[32], node[65]
 * UID             device[32]
 * the others      nothing
 * </pre>
 *
 * @param command {@link Gnbd#NAMES} and so on
 * @param timestamp of LOGIN: names the client's incarnation, only compared; 0 for others
 * @param version of LOGIN; 0 for others
 * @param device the export's name; empty where there is none
 * @param node the client's name, or whom the command is about; empty where there is none
 */
public record GnbdControl(int command, long timestamp, int version, String device, String node) {
    private static final int BODY = Integer.BYTES;
    private static final int NODE_END = BODY + Gnbd.NODE_BYTES;
    private static final int DEVICE_END = BODY + Gnbd.DEVICE_BYTES;
    private static final int KILL_END = DEVICE_END + Gnbd.NODE_BYTES;
    private static final int TIMESTAMP = BODY;
    private static final int VERSION = TIMESTAMP + Long.BYTES;
    private static final int PADDING = VERSION + Short.BYTES;
    private static final int PADDING_BYTES = 6;
    private static final int DEVICE = PADDING + PADDING_BYTES;
    private static final int NODE = DEVICE + Gnbd.DEVICE_BYTES;
    private static final int LOGIN_END = NODE + Gnbd.NODE_BYTES;

    /** The length of the longest request. */
    public static final int MAX_BYTES = LOGIN_END;

    /**
     * Returns the length of a request.
     *
     * @return bytes, the command included; -1 if nobody knows the command
     */
    public static int bytes(int command) {
        return switch (command) {
            case Gnbd.NAMES, Gnbd.LIST_BANNED, Gnbd.NODENAME -> BODY;
            case Gnbd.FENCE, Gnbd.UNFENCE -> NODE_END;
            case Gnbd.KILL_GSERV -> KILL_END;
            case Gnbd.LOGIN -> LOGIN_END;
            case Gnbd.UID -> DEVICE_END;
            default -> -1;
        };
    }

    /** Makes a request without a body. */
    public static GnbdControl of(int command) {
        return new GnbdControl(command, 0, 0, "", "");
    }

    /** Makes a FENCE or UNFENCE. */
    public static GnbdControl about(int command, String node) {
        return new GnbdControl(command, 0, 0, "", node);
    }

    /** Makes a KILL_GSERV. */
    public static GnbdControl kill(String device, String node) {
        return new GnbdControl(Gnbd.KILL_GSERV, 0, 0, device, node);
    }

    /** Makes a LOGIN. */
    public static GnbdControl login(long timestamp, String device, String node) {
        return new GnbdControl(Gnbd.LOGIN, timestamp, Gnbd.VERSION, device, node);
    }

    /** Makes a UID. */
    public static GnbdControl uid(String device) {
        return new GnbdControl(Gnbd.UID, 0, 0, device, "");
    }

    /**
     * Reads a request.
     *
     * @param source holds it from the index on, perhaps with more behind; its indexes stay as they are
     * @return null if it is not all there yet
     * @throws GnbdProtocolException if nobody knows the command
     */
    public static @Nullable GnbdControl read(ByteBuf source, int index, int readableBytes)
            throws GnbdProtocolException {
        if (readableBytes < BODY) {
            return null;
        }
        int command = source.getInt(index);
        int length = bytes(command);
        if (length < 0) {
            throw new GnbdProtocolException(
                    "unknown command " + Integer.toUnsignedString(command) + "; 1 to " + Gnbd.UID + " are known");
        }
        if (readableBytes < length) {
            return null;
        }
        return switch (command) {
            case Gnbd.FENCE, Gnbd.UNFENCE -> about(command, node(source, index + BODY));
            case Gnbd.KILL_GSERV -> kill(device(source, index + BODY), node(source, index + DEVICE_END));
            case Gnbd.LOGIN ->
                new GnbdControl(
                        command,
                        source.getLong(index + TIMESTAMP),
                        source.getUnsignedShort(index + VERSION),
                        device(source, index + DEVICE),
                        node(source, index + NODE));
            case Gnbd.UID -> uid(device(source, index + BODY));
            default -> of(command);
        };
    }

    private static String device(ByteBuf source, int index) {
        return GnbdText.get(source, index, Gnbd.DEVICE_BYTES);
    }

    private static String node(ByteBuf source, int index) {
        return GnbdText.get(source, index, Gnbd.NODE_BYTES);
    }

    /** Appends the request. */
    public void append(ByteBuf target) {
        target.writeInt(command);
        if (command == Gnbd.LOGIN) {
            target.writeLong(timestamp).writeShort(version).writeZero(PADDING_BYTES);
        }
        if (command == Gnbd.LOGIN || command == Gnbd.KILL_GSERV || command == Gnbd.UID) {
            GnbdText.append(target, device, Gnbd.DEVICE_BYTES);
        }
        if (command == Gnbd.LOGIN || command == Gnbd.KILL_GSERV || command == Gnbd.FENCE || command == Gnbd.UNFENCE) {
            GnbdText.append(target, node, Gnbd.NODE_BYTES);
        }
    }
}

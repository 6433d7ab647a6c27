package io.blocktap.pipeline.codec.gnbd;

import io.netty.buffer.ByteBuf;
import java.util.ArrayList;
import java.util.List;

/**
 * An export, as the reply to NAMES tells of it. Its integers alone in the whole protocol are in the server's own byte order: little-endian for every server
 * that was ever seen. A flag of 0x0100 gives away a big-endian one.
 *
 * <pre>
 * 0             4           6          38           40
 * | timeout u32 | flags u16 | name[32] | padding[2] |
 * </pre>
 *
 * @param name the export's name
 * @param timeoutSeconds 0 for an export that waits for ever
 * @param isReadOnly whether it can not be written
 */
public record GnbdExport(String name, long timeoutSeconds, boolean isReadOnly) {
    private static final int TIMEOUT = 0;
    private static final int FLAGS = TIMEOUT + Integer.BYTES;
    private static final int NAME = FLAGS + Short.BYTES;
    private static final int PADDING = NAME + Gnbd.DEVICE_BYTES;
    private static final int PADDING_BYTES = 2;
    /** Bytes in a record. */
    public static final int BYTES = PADDING + PADDING_BYTES;

    private static final int FLAG_READ_ONLY_SWAPPED = Gnbd.FLAG_READ_ONLY << Byte.SIZE;
    /** More exports than this are no list of a real server. */
    public static final int MAX_EXPORTS = 65536;

    /**
     * Reads the records of a reply.
     *
     * @param sizeBytes their length together
     * @throws GnbdProtocolException if that is not a whole number of records
     */
    public static List<GnbdExport> readAll(ByteBuf source, int index, int sizeBytes) throws GnbdProtocolException {
        if (sizeBytes % BYTES != 0) {
            throw new GnbdProtocolException("a list of exports of " + sizeBytes + " bytes; records have " + BYTES);
        }
        List<GnbdExport> exports = new ArrayList<>();
        for (int at = index; at < index + sizeBytes; at += BYTES) {
            exports.add(read(source, at));
        }
        return exports;
    }

    private static GnbdExport read(ByteBuf source, int index) {
        int flags = source.getUnsignedShortLE(index + FLAGS);
        boolean isSwapped = flags == FLAG_READ_ONLY_SWAPPED;
        return new GnbdExport(
                GnbdText.get(source, index + NAME, Gnbd.DEVICE_BYTES),
                isSwapped ? source.getUnsignedInt(index + TIMEOUT) : source.getUnsignedIntLE(index + TIMEOUT),
                isSwapped || (flags & Gnbd.FLAG_READ_ONLY) != 0);
    }

    /** Appends the record. */
    public void append(ByteBuf target) {
        target.writeIntLE((int) timeoutSeconds).writeShortLE(isReadOnly ? Gnbd.FLAG_READ_ONLY : 0);
        GnbdText.append(target, name, Gnbd.DEVICE_BYTES);
        target.writeZero(PADDING_BYTES);
    }
}

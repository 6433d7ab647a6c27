package io.blocktap.pipeline.codec.gnbd;

import io.netty.buffer.ByteBuf;

/**
 * The header of one request of the data side. The payload of a WRITE follows it.
 *
 * <pre>
 * 0           4          8            16         24          28
 * | magic u32 | type u32 | handle u64 | from u64 | length u32 |
 * </pre>
 *
 * <p>One object serves all requests of a connection, one after another. Threads: one at a time.
 */
public final class GnbdRequest {
    private static final int MAGIC = 0;
    private static final int TYPE = MAGIC + Integer.BYTES;
    private static final int HANDLE = TYPE + Integer.BYTES;
    private static final int FROM = HANDLE + Long.BYTES;
    private static final int LENGTH = FROM + Long.BYTES;
    /** Bytes in a request's header. */
    public static final int BYTES = LENGTH + Integer.BYTES;

    private int type;
    private long handle;
    private long offsetBytes;
    private long lengthBytes;

    /**
     * Reads a header.
     *
     * @param source holds at least {@link #BYTES} from the index; its indexes stay as they are
     * @return whether it begins with the magic number; if not, the stream is out of step and can not be used any more
     */
    public boolean read(ByteBuf source, int index) {
        if (source.getInt(index + MAGIC) != Gnbd.REQUEST_MAGIC) {
            return false;
        }
        type = source.getInt(index + TYPE);
        handle = source.getLong(index + HANDLE);
        offsetBytes = source.getLong(index + FROM);
        lengthBytes = source.getUnsignedInt(index + LENGTH);
        return true;
    }

    /** Writes a header; the target's indexes stay as they are. */
    public static void set(ByteBuf target, int index, int type, long handle, long offsetBytes, int lengthBytes) {
        target.setInt(index + MAGIC, Gnbd.REQUEST_MAGIC);
        target.setInt(index + TYPE, type);
        target.setLong(index + HANDLE, handle);
        target.setLong(index + FROM, offsetBytes);
        target.setInt(index + LENGTH, lengthBytes);
    }

    /** Returns {@link Gnbd#READ} and so on; perhaps one that nobody knows. */
    public int type() {
        return type;
    }

    /** Returns the client's id of the request. */
    public long handle() {
        return handle;
    }

    /** Returns the start of the range, as an unsigned number. */
    public long offsetBytes() {
        return offsetBytes;
    }

    /** Returns the length of the range. */
    public long lengthBytes() {
        return lengthBytes;
    }

    /** Returns whether the range lies on a disk of this size; an offset from 2^63 on is past every end. */
    public boolean isInside(long sizeBytes) {
        return offsetBytes >= 0 && offsetBytes <= sizeBytes && lengthBytes <= sizeBytes - offsetBytes;
    }
}

package io.blocktap.pipeline.codec.gnbd;

import io.netty.buffer.ByteBuf;

/**
 * The reply to one request of the data side. The data of a successful READ follow it. A keep-alive has the same length and another magic number.
 *
 * <pre>
 * 0           4           8            16
 * | magic u32 | error u32 | handle u64 |
 * </pre>
 */
public final class GnbdReply {
    private static final int MAGIC = 0;
    private static final int ERROR = MAGIC + Integer.BYTES;
    private static final int HANDLE = ERROR + Integer.BYTES;
    /** Bytes in a reply, without data. */
    public static final int BYTES = HANDLE + Long.BYTES;

    private GnbdReply() {}

    /**
     * Writes a reply; the target's indexes stay as they are.
     *
     * @param error 0 or {@link Gnbd#ERROR}
     */
    public static void set(ByteBuf target, int index, int error, long handle) {
        target.setInt(index + MAGIC, Gnbd.REPLY_MAGIC);
        target.setInt(index + ERROR, error);
        target.setLong(index + HANDLE, handle);
    }

    /** Appends a keep-alive. Its other fields are zero, since libgnbd looks at the error before the magic number. */
    public static void appendKeepAlive(ByteBuf target) {
        target.writeInt(Gnbd.KEEP_ALIVE_MAGIC).writeZero(BYTES - ERROR);
    }

    /** Returns the magic number: {@link Gnbd#REPLY_MAGIC} or {@link Gnbd#KEEP_ALIVE_MAGIC}, or the stream is out of step. */
    public static int magic(ByteBuf source, int index) {
        return source.getInt(index + MAGIC);
    }

    /** Returns the error; 0 if there is none. */
    public static int error(ByteBuf source, int index) {
        return source.getInt(index + ERROR);
    }

    /** Returns the request's handle. */
    public static long handle(ByteBuf source, int index) {
        return source.getLong(index + HANDLE);
    }
}

package io.blocktap.pipeline.codec.nbd;

import io.netty.buffer.ByteBuf;

/**
 * The simple reply of the transmission phase. The data of a successful READ follow it.
 *
 * <pre>
 * 0          4         8              16
 * | magic u32 | error u32 | cookie u64 |
 * </pre>
 */
public final class NbdReply {
    private static final int MAGIC = 0;
    private static final int ERROR = MAGIC + Integer.BYTES;
    private static final int COOKIE = ERROR + Integer.BYTES;
    /** Bytes in a simple reply, without data. */
    public static final int BYTES = COOKIE + Long.BYTES;

    private NbdReply() {}

    /**
     * Writes a reply.
     *
     * @param target where to; its indexes stay as they are
     * @param index of the first byte
     * @param errno 0 or one of {@link Nbd}'s error numbers
     * @param cookie as the client gave it
     */
    public static void set(ByteBuf target, int index, int errno, long cookie) {
        target.setInt(index + MAGIC, Nbd.SIMPLE_REPLY_MAGIC);
        target.setInt(index + ERROR, errno);
        target.setLong(index + COOKIE, cookie);
    }
}

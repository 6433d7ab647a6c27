package io.blocktap.pipeline.codec.gnbd;

import io.netty.buffer.ByteBuf;

/**
 * The answer to LOGIN.
 *
 * <pre>
 * 0             8             10         11           16
 * | sectors u64 | version u16 | errno u8 | padding[5] |
 * </pre>
 *
 * @param sectors the disk's size in 512-byte sectors; means nothing if there is an error
 * @param version 0, or the server's version if the client's is another
 * @param errno 0 or a Linux error number below 256
 */
public record GnbdLoginReply(long sectors, int version, int errno) {
    private static final int SECTORS = 0;
    private static final int VERSION = SECTORS + Long.BYTES;
    private static final int ERRNO = VERSION + Short.BYTES;
    private static final int PADDING = ERRNO + Byte.BYTES;
    private static final int PADDING_BYTES = 5;
    /** Bytes in the reply. */
    public static final int BYTES = PADDING + PADDING_BYTES;

    /** Makes a refusal. */
    public static GnbdLoginReply refusal(int errno) {
        return new GnbdLoginReply(0, errno == Gnbd.EINVAL ? Gnbd.VERSION : 0, errno);
    }

    /** Reads a reply that is all there. */
    public static GnbdLoginReply read(ByteBuf source, int index) {
        return new GnbdLoginReply(
                source.getLong(index + SECTORS),
                source.getUnsignedShort(index + VERSION),
                source.getUnsignedByte(index + ERRNO));
    }

    /** Appends the reply. */
    public void append(ByteBuf target) {
        target.writeLong(sectors).writeShort(version).writeByte(errno).writeZero(PADDING_BYTES);
    }
}

package io.blocktap.transport.loopback;

import io.blocktap.transport.TapException;
import io.blocktap.transport.frontend.FrontGeometry;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * The messages of {@code docs/protocols/loopback.md}.
 *
 * <pre>
 *  0        8         10     12    16
 *  +--------+---------+------+-----+-----------------
 *  |BTAPLOOP| version | type |  0  | body of the type
 *  +--------+---------+------+-----+-----------------
 * </pre>
 */
final class Handshake {
    static final int HELLO = 1;
    static final int WELCOME = 2;
    static final int REFUSED = 3;
    static final int GEOMETRY = 4;

    static final int MAX_DATA_PAGES = 16384;
    static final int MAX_NAME_BYTES = 255;

    private static final byte[] MAGIC = "BTAPLOOP".getBytes(StandardCharsets.US_ASCII);
    private static final int VERSION = 1;
    private static final int BODY = 16;
    private static final int HELLO_NAME = BODY + 10;
    private static final int WELCOME_BYTES = BODY + 32;
    private static final int MAX_REASON_BYTES = 400;

    private Handshake() {}

    /**
     * What a frontend asks for.
     *
     * @param layout the ring's ABI
     * @param ringPages 1, 2, 4, 8 or 16
     * @param dataPages 1 to {@link #MAX_DATA_PAGES}
     * @param diskName empty for the default disk
     */
    record Hello(BlkifLayout layout, int ringPages, int dataPages, String diskName) {
        int regionBytes() {
            return (ringPages + dataPages) * Blkif.PAGE_BYTES;
        }
    }

    private static ByteBuffer message(int type, int bytes) {
        ByteBuffer message = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
        return message.put(0, MAGIC).putShort(8, (short) VERSION).putShort(10, (short) type);
    }

    static int type(ByteBuffer message) throws TapException {
        if (message.limit() < BODY) {
            throw new TapException("a message of " + message.limit() + " bytes; the header alone has " + BODY);
        }
        byte[] magic = new byte[MAGIC.length];
        message.get(0, magic);
        if (!Arrays.equals(magic, MAGIC)) {
            throw new TapException("wrong magic; is the peer a loopback frontend or tap?");
        }
        if (message.getShort(8) != VERSION) {
            throw new TapException("version " + message.getShort(8) + "; this side speaks " + VERSION);
        }
        return message.getShort(10);
    }

    static ByteBuffer hello(Hello hello) throws TapException {
        byte[] name = hello.diskName().getBytes(StandardCharsets.UTF_8);
        if (name.length > MAX_NAME_BYTES) {
            throw new TapException("a disk's name of " + name.length + " bytes; it has at most " + MAX_NAME_BYTES);
        }
        return message(HELLO, HELLO_NAME + name.length)
                .put(16, (byte) hello.layout().ordinal())
                .put(17, (byte) Integer.numberOfTrailingZeros(hello.ringPages()))
                .putInt(20, hello.dataPages())
                .putShort(24, (short) name.length)
                .put(HELLO_NAME, name);
    }

    static Hello parseHello(ByteBuffer message) throws TapException {
        if (type(message) != HELLO || message.limit() < HELLO_NAME) {
            throw new TapException("the first message is no HELLO");
        }
        int abi = message.get(16);
        int order = message.get(17);
        int dataPages = message.getInt(20);
        int nameBytes = message.getShort(24) & 0xffff;
        if (abi < 0 || abi > 1 || order < 0 || order > 4) {
            throw new TapException("ABI " + abi + ", ring page order " + order + "; known are 0 and 1, 0 to 4");
        }
        if (dataPages < 1 || dataPages > MAX_DATA_PAGES) {
            throw new TapException(Integer.toUnsignedString(dataPages) + " data pages; 1 to " + MAX_DATA_PAGES);
        }
        if (nameBytes > MAX_NAME_BYTES || message.limit() != HELLO_NAME + nameBytes) {
            throw new TapException("a HELLO of " + message.limit() + " bytes with a name of " + nameBytes);
        }
        byte[] name = new byte[nameBytes];
        message.get(HELLO_NAME, name);
        return new Hello(BlkifLayout.values()[abi], 1 << order, dataPages, new String(name, StandardCharsets.UTF_8));
    }

    static ByteBuffer geometry(int type, FrontGeometry geometry, int dataPages) {
        return message(type, WELCOME_BYTES)
                .putLong(16, geometry.capacitySectors())
                .putInt(24, geometry.logicalBlockBytes())
                .putInt(28, geometry.physicalBlockBytes())
                .putInt(32, geometry.flags())
                .putInt(36, geometry.maxIndirectSegments())
                .putInt(40, geometry.discardGranularityBytes())
                .putInt(44, dataPages);
    }

    static FrontGeometry parseGeometry(ByteBuffer message) throws TapException {
        if (message.limit() != WELCOME_BYTES) {
            throw new TapException("a geometry of " + message.limit() + " bytes; it has " + WELCOME_BYTES);
        }
        return new FrontGeometry(
                message.getLong(16),
                message.getInt(24),
                message.getInt(28),
                message.getInt(32),
                message.getInt(36),
                message.getInt(40));
    }

    /** Returns the number of data pages in a WELCOME that {@link #parseGeometry} has accepted. */
    static int dataPages(ByteBuffer message) {
        return message.getInt(44);
    }

    static ByteBuffer refused(String reason) {
        byte[] text = reason.getBytes(StandardCharsets.UTF_8);
        int length = Math.min(text.length, MAX_REASON_BYTES);
        while (length < text.length && (text[length] & 0xc0) == 0x80) {
            length--; // not in the middle of a character
        }
        return message(REFUSED, BODY + 2 + length)
                .putShort(BODY, (short) length)
                .put(BODY + 2, text, 0, length);
    }

    static String parseRefused(ByteBuffer message) throws TapException {
        int length = message.limit() < BODY + 2 ? -1 : message.getShort(BODY) & 0xffff;
        if (message.limit() != BODY + 2 + length) {
            throw new TapException("a refusal of " + message.limit() + " bytes");
        }
        byte[] text = new byte[length];
        message.get(BODY + 2, text);
        return new String(text, StandardCharsets.UTF_8);
    }
}

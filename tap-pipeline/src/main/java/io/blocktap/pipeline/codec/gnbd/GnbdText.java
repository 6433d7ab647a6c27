package io.blocktap.pipeline.codec.gnbd;

import io.netty.buffer.ByteBuf;
import java.nio.charset.StandardCharsets;

/** Names in fields of fixed length: bytes up to the first NUL count. They are shown and compared as ISO 8859-1, so that any byte is kept. */
public final class GnbdText {
    private GnbdText() {}

    /**
     * Reads a field; one without a NUL is as long as the field.
     *
     * @param index of its first byte
     * @param length of the field
     */
    public static String get(ByteBuf source, int index, int length) {
        int used = 0;
        while (used < length && source.getByte(index + used) != 0) {
            used++;
        }
        return source.toString(index, used, StandardCharsets.ISO_8859_1);
    }

    /**
     * Appends a field.
     *
     * @param text fits in it, with a NUL behind; see {@link #fits}
     */
    public static void append(ByteBuf target, String text, int length) {
        if (!fits(text, length)) {
            throw new IllegalArgumentException("'" + text + "' does not fit into " + length + " bytes");
        }
        target.writeCharSequence(text, StandardCharsets.ISO_8859_1);
        target.writeZero(length - text.length());
    }

    /** Returns whether a name can stand in a field of this length: with a NUL behind it, without one inside, and in one byte a character. */
    public static boolean fits(String text, int length) {
        return text.length() < length && text.chars().allMatch(c -> c > 0 && c <= 0xff);
    }
}

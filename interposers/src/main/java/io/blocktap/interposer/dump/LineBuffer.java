package io.blocktap.interposer.dump;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** Lines on their way to the sink, as bytes. Appending allocates nothing (but for text that is not ASCII). The writer's thread only. */
final class LineBuffer {
    private static final byte[] HEX = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);

    private byte[] bytes = new byte[64 << 10];
    private int length;

    private void room(int count) {
        if (bytes.length - length < count) {
            bytes = java.util.Arrays.copyOf(bytes, Math.max(bytes.length * 2, length + count));
        }
    }

    LineBuffer append(String text) {
        int count = text.length();
        room(count);
        for (int i = 0; i < count; i++) {
            char c = text.charAt(i);
            if (c >= 0x80) {
                byte[] rest = text.substring(i).getBytes(StandardCharsets.UTF_8);
                return append(rest, rest.length);
            }
            bytes[length++] = (byte) c;
        }
        return this;
    }

    LineBuffer append(byte[] text, int count) {
        room(count);
        System.arraycopy(text, 0, bytes, length, count);
        length += count;
        return this;
    }

    LineBuffer append(char ascii) {
        room(1);
        bytes[length++] = (byte) ascii;
        return this;
    }

    LineBuffer append(long number) {
        if (number < 0) {
            if (number == Long.MIN_VALUE) {
                return append("-9223372036854775808");
            }
            append('-');
        }
        return appendPadded(Math.abs(number), 1);
    }

    /** Appends a number of at least so many digits. */
    LineBuffer appendPadded(long number, int leastDigits) {
        int digits = 1;
        for (long rest = number / 10; rest != 0; rest /= 10) {
            digits++;
        }
        digits = Math.max(digits, leastDigits);
        room(digits);
        long rest = number;
        for (int i = digits - 1; i >= 0; i--) {
            bytes[length + i] = (byte) ('0' + rest % 10);
            rest /= 10;
        }
        length += digits;
        return this;
    }

    LineBuffer appendHex(byte[] data, int count) {
        room(2 * count);
        for (int i = 0; i < count; i++) {
            bytes[length++] = HEX[data[i] >> 4 & 0xf];
            bytes[length++] = HEX[data[i] & 0xf];
        }
        return this;
    }

    int length() {
        return length;
    }

    /** Writes all and empties the buffer, also when the sink fails. */
    void writeTo(OutputStream sink) throws IOException {
        int count = length;
        length = 0;
        sink.write(bytes, 0, count);
        sink.flush();
    }

    void clear() {
        length = 0;
    }
}

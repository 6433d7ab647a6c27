package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Copies of tables' pages, made at one moment and written later. Used again and again; one thread at a time. */
final class StagedWrites {
    /** More is not kept from one use to the next. */
    private static final int KEPT_BYTES = 1 << 20;

    private ByteBuffer bytes = ByteBuffer.allocateDirect(64 << 10);
    private @Nullable L2Table[] tables = new L2Table[16];
    private long[] offsets = new long[16];
    private int[] lengths = new int[16];
    private int count;

    void clear() {
        Arrays.fill(tables, null);
        count = 0;
        bytes.clear();
        if (bytes.capacity() > KEPT_BYTES) {
            bytes = ByteBuffer.allocateDirect(KEPT_BYTES);
        }
    }

    boolean isEmpty() {
        return count == 0;
    }

    int count() {
        return count;
    }

    /** Returns the table whose pages these are; null for those of L1. */
    @Nullable
    L2Table table(int index) {
        return tables[index];
    }

    long offset(int index) {
        return offsets[index];
    }

    int length(int index) {
        return lengths[index];
    }

    /** Makes room for a write; the caller fills it with exactly so many bytes before the next call. */
    ByteBuffer stage(@Nullable L2Table table, long offsetBytes, int lengthBytes) {
        if (count == offsets.length) {
            tables = Arrays.copyOf(tables, 2 * count);
            offsets = Arrays.copyOf(offsets, 2 * count);
            lengths = Arrays.copyOf(lengths, 2 * count);
        }
        if (bytes.remaining() < lengthBytes) {
            int needed = bytes.position() + lengthBytes;
            ByteBuffer larger =
                    ByteBuffer.allocateDirect(Math.max(needed, (int) Math.min(Integer.MAX_VALUE, 2L * needed)));
            larger.put(bytes.flip());
            bytes = larger;
        }
        tables[count] = table;
        offsets[count] = offsetBytes;
        lengths[count++] = lengthBytes;
        return bytes;
    }

    /** Writes all; may wait. Returns the bytes written. */
    long writeTo(ImageStorage storage) throws ImageException {
        int position = 0;
        for (int i = 0; i < count; i++) {
            BlockStatus status = storage.write(bytes.slice(position, lengths[i]), offsets[i]);
            ImageException.check(status);
            position += lengths[i];
        }
        return position;
    }
}

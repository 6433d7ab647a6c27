package io.blocktap.pipeline.qcow2;

import java.nio.ByteBuffer;
import java.util.BitSet;

/**
 * One block of refcounts in memory.
 *
 * <p>Source: QEMU, {@code docs/interop/qcow2.txt}, "Host cluster management".
 *
 * <p>Threads: those of {@link Refcounts}.
 */
final class RefcountBlock {
    private final long hostOffset;
    private final ByteBuffer content;
    private final int order;
    private final int pageBytes;
    private final BitSet dirtyPages = new BitSet();

    /**
     * Takes over what was read, or zeroes.
     *
     * @param hostOffset where it lies in the file
     * @param order a count has {@code 1 << order} bits
     * @param pageBytes what is written at a time
     */
    RefcountBlock(long hostOffset, ByteBuffer content, int order, int pageBytes) {
        this.hostOffset = hostOffset;
        this.content = content;
        this.order = order;
        this.pageBytes = pageBytes;
    }

    /** Returns its memory, for the next one, when it is not used any more. */
    ByteBuffer takeContent() {
        return content;
    }

    long count(int index) {
        return switch (order) {
            case 0, 1, 2 -> {
                int inByte = 8 >> order;
                yield content.get(index / inByte) >> (index % inByte << order) & (1 << (1 << order)) - 1;
            }
            case 3 -> content.get(index) & 0xff;
            case 4 -> content.getShort(index * Short.BYTES) & 0xffff;
            case 5 -> content.getInt(index * Integer.BYTES) & 0xffff_ffffL;
            default -> content.getLong(index * Long.BYTES);
        };
    }

    /** Returns whether a count has few enough bits. */
    boolean canHold(long count) {
        int bits = 1 << order;
        return bits == Long.SIZE || count >>> bits == 0;
    }

    void set(int index, long count) {
        switch (order) {
            case 0, 1, 2 -> {
                int inByte = 8 >> order;
                int shift = index % inByte << order;
                int kept = content.get(index / inByte) & ~((1 << (1 << order)) - 1 << shift);
                content.put(index / inByte, (byte) (kept | (int) count << shift));
            }
            case 3 -> content.put(index, (byte) count);
            case 4 -> content.putShort(index * Short.BYTES, (short) count);
            case 5 -> content.putInt(index * Integer.BYTES, (int) count);
            default -> content.putLong(index * Long.BYTES, count);
        }
        dirtyPages.set((int) (((long) index << order) / Byte.SIZE / pageBytes));
    }

    /** Returns the index behind the last count that is not 0. */
    int used() {
        int word = content.capacity() / Long.BYTES - 1;
        while (word >= 0 && content.getLong(word * Long.BYTES) == 0) {
            word--;
        }
        int index = (int) ((word + 1L) * Long.SIZE >> order);
        while (index > 0 && count(index - 1) == 0) {
            index--;
        }
        return index;
    }

    boolean isDirty() {
        return !dirtyPages.isEmpty();
    }

    /** Has all of it written: it is new. */
    void markNew() {
        dirtyPages.set(0, content.capacity() / pageBytes);
    }

    /** Writes what was changed. Returns how many bytes that was. */
    long writeTo(ImageStorage storage) throws ImageException {
        long written = 0;
        int end;
        for (int first = dirtyPages.nextSetBit(0); first >= 0; first = dirtyPages.nextSetBit(end)) {
            end = dirtyPages.nextClearBit(first);
            ByteBuffer bytes = content.slice(first * pageBytes, (end - first) * pageBytes);
            written += bytes.remaining();
            ImageException.check(storage.write(bytes, hostOffset + (long) first * pageBytes));
        }
        dirtyPages.clear();
        return written;
    }
}

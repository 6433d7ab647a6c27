package io.blocktap.terminator.memory;

import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.netty.buffer.ByteBuf;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;

/**
 * A few megabytes of a disk: mapped memory, of which the system backs only the pages that were written, and a bit for each page
 * that counts against the {@link RamBudget}.
 *
 * <p>Any thread, without locks. The memory stays mapped until {@link #close}, which nobody may race with. A writer sets the bits of
 * its pages ({@link #claim}), copies, and looks at the bits again ({@link #confirm}); a discard clears bits and then gives the
 * pages back. Whichever way the two interleave, a page with data has its bit set when both are done, so nothing is used uncounted.
 */
final class Chunk {
    /** log2 of the bytes in a page. */
    static final int PAGE_SHIFT = 12;

    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);

    static {
        if (Libc.PAGE_BYTES != 1 << PAGE_SHIFT) {
            throw new ExceptionInInitializerError("pages of " + Libc.PAGE_BYTES + " bytes");
        }
    }

    private final MappedRegion region;
    private final ByteBuffer view;
    // Only its methods with an absolute index on both sides are used: those touch no state of the buffer itself.
    private final RegionBuf buffer;
    private final long[] used;

    /**
     * Maps the memory.
     *
     * @param sizeBytes a multiple of the page size
     */
    Chunk(int sizeBytes) throws NativeException {
        region = MappedRegion.sparse(sizeBytes);
        view = region.view();
        buffer = new RegionBuf(region, 0, sizeBytes);
        used = new long[(sizeBytes >>> PAGE_SHIFT) + 63 >>> 6];
    }

    void close() {
        region.release();
    }

    // ---- the pages in use

    /**
     * Sets the bits of all pages that a range touches.
     *
     * @return whether the budget allows it; if not, nothing has changed
     */
    boolean claim(int offset, int length, RamBudget budget) {
        int first = offset >>> PAGE_SHIFT;
        int last = offset + length - 1 >>> PAGE_SHIFT;
        int missing = 0;
        for (int word = first >>> 6; word <= last >>> 6; word++) {
            missing += Long.bitCount(mask(word, first, last) & ~(long) WORD.getOpaque(used, word));
        }
        if (missing == 0) {
            return true;
        }
        if (!budget.tryTake(missing)) {
            return false;
        }
        budget.correct(setBits(first, last) - missing);
        return true;
    }

    /** After the copy: sets those bits of {@link #claim} again that a racing discard has cleared. */
    void confirm(int offset, int length, RamBudget budget) {
        int first = offset >>> PAGE_SHIFT;
        int last = offset + length - 1 >>> PAGE_SHIFT;
        VarHandle.fullFence(); // the copy comes before the look at the bits
        for (int word = first >>> 6; word <= last >>> 6; word++) {
            long mask = mask(word, first, last);
            if (((long) WORD.getOpaque(used, word) & mask) != mask) {
                budget.correct(setBits(first, last));
                return;
            }
        }
    }

    private int setBits(int first, int last) {
        int set = 0;
        for (int word = first >>> 6; word <= last >>> 6; word++) {
            long mask = mask(word, first, last);
            set += Long.bitCount(mask & ~(long) WORD.getAndBitwiseOr(used, word, mask));
        }
        return set;
    }

    private int clearBits(int first, int last) {
        int cleared = 0;
        for (int word = first >>> 6; word <= last >>> 6; word++) {
            long mask = mask(word, first, last);
            cleared += Long.bitCount(mask & (long) WORD.getAndBitwiseAnd(used, word, ~mask));
        }
        return cleared;
    }

    private static long mask(int word, int first, int last) {
        long mask = -1L;
        if (word == first >>> 6) {
            mask &= -1L << first;
        }
        if (word == last >>> 6) {
            mask &= -1L >>> 63 - (last & 63);
        }
        return mask;
    }

    private boolean isUsed(int page) {
        return ((long) WORD.getOpaque(used, page >>> 6) & 1L << page) != 0;
    }

    // ---- data

    /** Copies out of the chunk, into a request's data. */
    void read(int offset, ByteBuf data, int index, int length) {
        if (data instanceof RegionBuf) {
            data.setBytes(index, buffer, offset, length);
        } else if (data.hasArray()) {
            view.get(offset, data.array(), data.arrayOffset() + index, length);
        } else if (data.nioBufferCount() == 1) {
            ByteBuffer target = data.internalNioBuffer(index, length);
            target.put(target.position(), view, offset, length);
        } else {
            data.setBytes(index, buffer, offset, length);
        }
    }

    /** Copies a request's data into the chunk. The pages are {@linkplain #claim claimed} already. */
    void write(int offset, ByteBuf data, int index, int length) {
        if (data instanceof RegionBuf) {
            data.getBytes(index, buffer, offset, length);
        } else if (data.hasArray()) {
            view.put(offset, data.array(), data.arrayOffset() + index, length);
        } else if (data.nioBufferCount() == 1) {
            ByteBuffer source = data.internalNioBuffer(index, length);
            view.put(offset, source, source.position(), length);
        } else {
            data.getBytes(index, buffer, offset, length);
        }
    }

    /** Makes a range read as zeroes; whole pages go back to the system and to the budget, the rest is overwritten. */
    void free(int offset, int length, RamBudget budget) {
        int firstWhole = offset + Libc.PAGE_BYTES - 1 >>> PAGE_SHIFT;
        int endWhole = offset + length >>> PAGE_SHIFT;
        if (firstWhole >= endWhole) {
            zeroParts(offset, offset + length);
            return;
        }
        zeroParts(offset, firstWhole << PAGE_SHIFT);
        zeroParts(endWhole << PAGE_SHIFT, offset + length);
        budget.correct(-clearBits(firstWhole, endWhole - 1));
        region.releasePages(firstWhole << PAGE_SHIFT, endWhole - firstWhole << PAGE_SHIFT);
    }

    /** Makes a range read as zeroes; the pages stay counted, so that writing them can not fail for lack of room. */
    void zeroKeeping(int offset, int length) {
        int firstWhole = offset + Libc.PAGE_BYTES - 1 >>> PAGE_SHIFT;
        int endWhole = offset + length >>> PAGE_SHIFT;
        if (firstWhole >= endWhole) {
            zeroParts(offset, offset + length);
            return;
        }
        zeroParts(offset, firstWhole << PAGE_SHIFT);
        zeroParts(endWhole << PAGE_SHIFT, offset + length);
        region.releasePages(firstWhole << PAGE_SHIFT, endWhole - firstWhole << PAGE_SHIFT);
    }

    /** Overwrites a range that lies in at most two pages; a page that was never written is zero already. */
    private void zeroParts(int from, int to) {
        for (int start = from; start < to; ) {
            int end = Math.min(to, (start >>> PAGE_SHIFT) + 1 << PAGE_SHIFT);
            if (isUsed(start >>> PAGE_SHIFT)) {
                buffer.setZero(start, end - start);
            }
            start = end;
        }
    }
}

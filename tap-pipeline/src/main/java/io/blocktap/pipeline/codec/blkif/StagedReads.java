package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.SegmentList;
import io.blocktap.transport.GuestCopies;
import io.blocktap.transport.ring.Blkif;
import io.netty.buffer.ByteBuf;
import java.util.Arrays;
import java.util.Objects;

/** Answered reads whose data are to be copied to the frontend's pages, all at once, before the frontend hears of them. Owns the data. */
final class StagedReads {
    private static final int FULL = 2048;

    private long[] ids = new long[32];
    private int[] bits = new int[32];
    private int[] ends = new int[32];
    private ByteBuf[] data = new ByteBuf[32];
    private boolean[] copied = new boolean[32];
    private int count;

    /** Takes over the data of a request. */
    void stage(BlockRequest request, GuestCopies copies) {
        if (count == ids.length) {
            ids = Arrays.copyOf(ids, count * 2);
            bits = Arrays.copyOf(bits, count * 2);
            ends = Arrays.copyOf(ends, count * 2);
            data = Arrays.copyOf(data, count * 2);
            copied = new boolean[count * 2];
        }
        if (count == 0) {
            copies.clear();
        }
        SegmentList segments = Objects.requireNonNull(request.segments());
        ByteBuf its = request.takeData();
        int index = 0;
        for (int i = 0; i < segments.count(); i++) {
            int length = SlotDecoder.segmentBytes(segments, i);
            copies.add(segments.gref(i), segments.firstSector(i) << Blkif.SECTOR_SHIFT, length, its, index);
            index += length;
        }
        ids[count] = request.cookie();
        bits[count] = request.tapBits();
        ends[count] = copies.count();
        data[count++] = its;
    }

    int count() {
        return count;
    }

    /** Returns whether so much is staged that it should be copied before more is. */
    boolean isFull() {
        return count > 0 && ends[count - 1] >= FULL;
    }

    void copy(GuestCopies copies) {
        copies.run();
        int piece = 0;
        for (int i = 0; i < count; i++) {
            copied[i] = copies.areDone(piece, ends[i]);
            piece = ends[i];
        }
        copies.clear();
    }

    long id(int index) {
        return ids[index];
    }

    int tapBits(int index) {
        return bits[index];
    }

    boolean isCopied(int index) {
        return copied[index];
    }

    /** Releases the data, and forgets the reads. */
    @SuppressWarnings("NullAway") // slots below the count are filled
    void clear() {
        for (int i = 0; i < count; i++) {
            data[i].release();
            data[i] = null;
        }
        count = 0;
    }
}

package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.SegmentList;
import io.blocktap.transport.GuestCopies;
import io.blocktap.transport.ring.Blkif;
import java.util.Arrays;
import java.util.Objects;

/**
 * Writes of a turn whose data are to be copied from the frontend's pages, all at once.
 *
 * <p>The cycle: {@link #stage} each, {@link #copy}, take the {@link #count}, {@link #clear}, then look at each: what was staged stays to be looked at until the next
 * one is staged.
 */
final class StagedWrites {
    private static final int FULL = 2048;

    private BlockRequest[] requests = new BlockRequest[32];
    private boolean[] copied = new boolean[32];
    private int count;
    private int pieces;

    void stage(BlockRequest request) {
        if (count == requests.length) {
            requests = Arrays.copyOf(requests, count * 2);
            copied = new boolean[count * 2];
        }
        requests[count++] = request;
        pieces += segments(request).count();
    }

    private static SegmentList segments(BlockRequest request) {
        return Objects.requireNonNull(request.segments());
    }

    int count() {
        return count;
    }

    /** Returns whether so much is staged that it should be copied before more is. */
    boolean isFull() {
        return pieces >= FULL;
    }

    void copy(GuestCopies copies) {
        copies.clear();
        for (int i = 0; i < count; i++) {
            BlockRequest request = requests[i];
            SegmentList segments = segments(request);
            int index = 0;
            for (int j = 0; j < segments.count(); j++) {
                int length = SlotDecoder.segmentBytes(segments, j);
                copies.add(
                        segments.gref(j), segments.firstSector(j) << Blkif.SECTOR_SHIFT, length, request.data(), index);
                index += length;
            }
        }
        copies.run();
        int piece = 0;
        for (int i = 0; i < count; i++) {
            int end = piece + segments(requests[i]).count();
            copied[i] = copies.areDone(piece, end);
            piece = end;
        }
        copies.clear();
    }

    BlockRequest request(int index) {
        return requests[index];
    }

    boolean isCopied(int index) {
        return copied[index];
    }

    void clear() {
        count = 0;
        pieces = 0;
    }
}

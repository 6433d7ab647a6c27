package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.transport.GuestCopies;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.memory.RegionBuf;
import io.blocktap.transport.ring.BlkifLayout;
import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/**
 * Indirect requests of a turn whose pages of segments are to be copied from the frontend, all at once: they are looked at in a private copy only (XSA-155).
 *
 * <p>The cycle is that of {@link StagedWrites}.
 */
final class StagedIndirects {
    private static final int MOST = 32;
    private static final int MOST_BYTES = BlkifFeatures.MAX_INDIRECT_SEGMENTS * BlkifLayout.SEGMENT_BYTES;

    private final BlockRequest[] requests = new BlockRequest[MOST];
    private final int[] grefs = new int[MOST];
    private final int[] segments = new int[MOST];
    private final boolean[] copied = new boolean[MOST];
    private int count;
    private @Nullable MappedRegion region;
    private @Nullable RegionBuf bytes;

    void stage(BlockRequest request, int gref, int itsSegments) {
        requests[count] = request;
        grefs[count] = gref;
        segments[count++] = itsSegments;
    }

    int count() {
        return count;
    }

    boolean isFull() {
        return count == MOST;
    }

    void copy(GuestCopies copies) {
        ByteBuf target = bytes();
        copies.clear();
        for (int i = 0; i < count; i++) {
            copies.add(grefs[i], 0, segments[i] * BlkifLayout.SEGMENT_BYTES, target, index(i));
        }
        copies.run();
        for (int i = 0; i < count; i++) {
            copied[i] = copies.areDone(i, i + 1);
        }
        copies.clear();
    }

    BlockRequest request(int index) {
        return requests[index];
    }

    boolean isCopied(int index) {
        return copied[index];
    }

    /** Returns where the segments of a request begin in {@link #bytes}. */
    int index(int index) {
        return index * MOST_BYTES;
    }

    int segments(int index) {
        return segments[index];
    }

    ByteBuf bytes() {
        RegionBuf present = bytes;
        if (present == null) {
            MappedRegion mapped = MappedRegion.anonymousOrFail(MOST * MOST_BYTES);
            present = new RegionBuf(mapped, 0, mapped.sizeBytes());
            region = mapped;
            bytes = present;
        }
        return present;
    }

    void clear() {
        count = 0;
    }

    void close() {
        MappedRegion mapped = region;
        region = null;
        bytes = null;
        if (mapped != null) {
            mapped.release();
        }
    }
}

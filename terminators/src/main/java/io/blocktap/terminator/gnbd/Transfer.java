package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import org.jspecify.annotations.Nullable;

/** A request of the chain that is not answered yet. Recycled by {@link Outstanding}. */
final class Transfer {
    private @Nullable BlockRequest request;
    /** Counts all that came. */
    long number;

    int piecesLeft;
    BlockStatus status = BlockStatus.OK;
    /** When it fails, by {@link System#nanoTime}. */
    long deadlineNanos;
    /** Neighbours in the order of arrival. */
    @Nullable
    Transfer older;

    @Nullable
    Transfer younger;

    void begin(BlockRequest newRequest, int pieces, long deadline) {
        request = newRequest;
        piecesLeft = pieces;
        deadlineNanos = deadline;
        status = BlockStatus.OK;
    }

    BlockRequest request() {
        BlockRequest present = request;
        if (present == null) {
            throw new IllegalStateException("a transfer is used that is in the pool");
        }
        return present;
    }

    BlockRequest end() {
        BlockRequest ended = request();
        request = null;
        return ended;
    }
}

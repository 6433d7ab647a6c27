package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import org.jspecify.annotations.Nullable;

/**
 * A part of a request that fits into one of the protocol. Recycled by {@link Outstanding}; it has the same slot for ever, and another handle each time it is sent, so a late or
 * false reply is not taken for that of another.
 */
final class Piece {
    final int slot;
    private int sendings;
    /** Whom it belongs to; null while it is in the pool. */
    @Nullable
    Transfer transfer;

    int startBytes;
    int lengthBytes;
    /** Pieces are sent again in the order in which they came. */
    long order;
    /** Where its reply will come from; null while it is not sent. */
    @Nullable
    DataConnection connection;
    /** Whether it was sent on a connection that has broken. */
    boolean isAgain;
    /** How often the server has ended the session while this was the only piece in flight. */
    int breaks;

    @Nullable
    Piece next;

    Piece(int slot) {
        this.slot = slot;
    }

    Transfer owner() {
        Transfer present = transfer;
        if (present == null) {
            throw new IllegalStateException("a piece is used that is in the pool");
        }
        return present;
    }

    BlockRequest request() {
        return owner().request();
    }

    boolean isWrite() {
        return request().op() == BlockOp.WRITE;
    }

    /** Returns the handle for one more sending. */
    long newHandle() {
        sendings = sendings == Integer.MAX_VALUE ? 1 : sendings + 1;
        return handle();
    }

    long handle() {
        return (long) sendings << Integer.SIZE | slot;
    }

    /** Returns the slot that a handle speaks of, if it is one of ours. */
    static int slotOf(long handle) {
        return (int) handle;
    }
}

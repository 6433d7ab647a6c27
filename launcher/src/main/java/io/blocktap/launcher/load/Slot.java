package io.blocktap.launcher.load;

import io.blocktap.pipeline.BlockOp;
import io.netty.buffer.ByteBuf;

/** One of a client's places for a request in flight, used again and again. Confined to the client's event loop. */
final class Slot {
    final int index;
    /** As long as the longest request; filled before a WRITE, by a READ. Owned by the client. */
    final ByteBuf data;

    BlockOp op = BlockOp.READ;
    long offsetBytes;
    int lengthBytes;
    long issuedNanos;

    Slot(int index, ByteBuf data) {
        this.index = index;
        this.data = data;
    }

    void describe(BlockOp newOp, long newOffsetBytes, int newLengthBytes) {
        op = newOp;
        offsetBytes = newOffsetBytes;
        lengthBytes = newLengthBytes;
    }

    @Override
    public String toString() {
        return op + " " + offsetBytes + "+" + lengthBytes;
    }
}

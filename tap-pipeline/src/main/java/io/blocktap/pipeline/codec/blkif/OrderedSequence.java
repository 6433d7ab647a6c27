package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.SegmentList;
import io.blocktap.transport.ring.Blkif;
import io.netty.buffer.ByteBuf;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A barrier, or a flush that carries data, step by step. The ring is held meanwhile, so there is one at a time.
 *
 * <p>{@code io/blkif.h}: all requests before a barrier are stable before it, and it is stable when answered; a flush with data writes
 * them after the flush.
 */
final class OrderedSequence {
    private enum State {
        NONE,
        WAIT_FOR_EARLIER,
        FLUSH_BEFORE,
        WRITE,
        FLUSH_AFTER
    }

    private final BlkifCodec codec;
    private State state = State.NONE;
    private int operation;
    private int bits;
    private long id;
    private long offsetBytes;
    private @Nullable ByteBuf data;
    private final SegmentList segments = new SegmentList();

    OrderedSequence(BlkifCodec codec) {
        this.codec = codec;
    }

    boolean isActive() {
        return state != State.NONE;
    }

    /** Begins; takes the data out of the request, which the caller recycles then. The request counts as in flight already. */
    void begin(BlockRequest request) {
        bits = request.tapBits();
        operation = bits & BlkifCodec.OPERATION_MASK;
        id = request.cookie();
        offsetBytes = request.offsetBytes();
        data = request.dataLength() > 0 ? request.takeData() : null;
        segments.copyFrom(Objects.requireNonNull(request.segments()));
        codec.channel().holdIntake();
        codec.hold(); // between two parts there may be nothing on its way
        if (!codec.hasFlush()) {
            finish(BlockStatus.UNSUPPORTED);
        } else if (operation == Blkif.BLKIF_OP_WRITE_BARRIER && codec.inFlight() > 1) {
            state = State.WAIT_FOR_EARLIER;
        } else {
            flushBefore();
        }
    }

    /** Hears of every answer of the ring. */
    void onAnswer() {
        if (state == State.WAIT_FOR_EARLIER && codec.inFlight() == 1) {
            flushBefore();
            codec.completeTurn();
        }
    }

    private void flushBefore() {
        state = State.FLUSH_BEFORE;
        codec.submitFlushPart();
    }

    /** Hears of the answer of a part. */
    void onPart(BlockResponse response) {
        if (!isActive()) {
            return; // abandoned
        }
        BlockRequest request = response.request();
        if (response.status() != BlockStatus.OK) {
            if (request.op() == BlockOp.FLUSH) {
                codec.fence(response.status());
            }
            finish(response.status());
            return;
        }
        ByteBuf toWrite = data;
        switch (state) {
            case FLUSH_BEFORE -> {
                if (toWrite == null) {
                    finish(BlockStatus.OK);
                } else {
                    state = State.WRITE;
                    data = null;
                    boolean fua = operation == Blkif.BLKIF_OP_WRITE_BARRIER && codec.hasFua();
                    codec.submitWritePart(offsetBytes, toWrite, segments, fua ? BlockRequest.FUA : 0);
                    codec.completeTurn();
                }
            }
            case WRITE -> {
                if (operation == Blkif.BLKIF_OP_WRITE_BARRIER && !request.isFua()) {
                    state = State.FLUSH_AFTER;
                    codec.submitFlushPart();
                    codec.completeTurn();
                } else {
                    finish(BlockStatus.OK);
                }
            }
            case FLUSH_AFTER -> finish(BlockStatus.OK);
            case NONE, WAIT_FOR_EARLIER ->
                throw new IllegalStateException(
                        "answer of a " + (request.op() == BlockOp.FLUSH ? "flush" : "write") + " in state " + state);
        }
    }

    /** The channel is gone: lets go of what was not written yet. Parts on their way are settled without us. */
    void abandon() {
        if (isActive()) {
            state = State.NONE;
            releaseData();
            codec.letGo();
        }
    }

    private void releaseData() {
        ByteBuf unwritten = data;
        data = null;
        if (unwritten != null) {
            unwritten.release();
        }
    }

    private void finish(BlockStatus status) {
        state = State.NONE;
        releaseData();
        codec.endSequence(id, bits, status);
        codec.letGo();
    }
}

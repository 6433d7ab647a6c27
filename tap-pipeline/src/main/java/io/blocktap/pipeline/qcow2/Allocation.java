package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.netty.buffer.ByteBuf;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Host clusters that are being filled for clusters of the disk in a row, which do not have them yet. Part of an {@link Operation}, used again and again.
 *
 * <p>What is written of the first and the last cluster only in part is composed with what they were before in a buffer of a whole cluster; what lies between is written as it comes.
 *
 * <p>Threads: what says so under the monitor of the {@link ImageMap}; the rest is the operation's.
 */
final class Allocation {
    private static final Logger LOG = LoggerFactory.getLogger(Allocation.class);

    /** Others that want to change one of these clusters. Under the monitor. */
    final Waiters waiters = new Waiters();
    /** Where the entries will stand; pinned. Under the monitor. */
    @Nullable
    L2Table table;

    long firstCluster;
    int clusters;
    long firstHost;
    /** What the first and the last cluster were before. */
    long firstEntry;

    long lastEntry;
    /** The host clusters read as zeroes. */
    boolean isFresh;

    boolean isInUse;
    /** The range of the disk that the operation writes of it. */
    long from;

    long to;

    private final int index;
    private int transfers;
    private boolean hasFailed;
    private @Nullable ByteBuf head;
    private @Nullable ByteBuf tail;

    /** @param index among those of the operation */
    Allocation(int index) {
        this.index = index;
    }

    /** Writes the range, and what the clusters have beside it; when that is done they are in the map, or given back. */
    void write(Operation operation, Qcow2Engine engine, BlockRequest request) {
        Layout layout = engine.layout();
        long start = layout.startOf(firstCluster);
        long last = firstCluster + clusters - 1;
        boolean isHeadPart = from > start;
        boolean isTailPart = to < layout.startOf(last + 1);
        boolean areRestsZero = isFresh
                && (!isHeadPart || engine.readsAsZeroes(firstEntry, start))
                && (!isTailPart || to == layout.sizeBytes() || engine.readsAsZeroes(lastEntry, layout.startOf(last)));
        hasFailed = false;
        transfers = 1;
        try {
            long whole = from;
            long wholeEnd = to;
            if (!areRestsZero && (isHeadPart || isTailPart && clusters == 1)) {
                whole = Math.min(to, layout.startOf(firstCluster + 1));
                fill(operation, engine, request, false);
            }
            if (!areRestsZero && isTailPart && clusters > 1) {
                wholeEnd = layout.startOf(last);
                fill(operation, engine, request, true);
            }
            if (whole < wholeEnd) {
                long host = layout.startOf(firstHost) + whole - start;
                writeTo(operation, engine, request, host, operation.piece(request, whole, wholeEnd));
            }
        } catch (RuntimeException | OutOfMemoryError e) {
            failed(operation, engine, request, e);
        }
        transferEnded(engine, true);
    }

    private void failed(Operation operation, Qcow2Engine engine, BlockRequest request, Throwable by) {
        LOG.error("{}: {} failed; it is answered with an I/O error", engine.name(), request, by);
        hasFailed = true;
        operation.fail(BlockStatus.IO_ERROR);
    }

    /** Has a buffer filled with what a cluster was before. */
    private void fill(Operation operation, Qcow2Engine engine, BlockRequest request, boolean isTail) {
        Layout layout = engine.layout();
        long entry = isTail ? lastEntry : firstEntry;
        long start = layout.startOf(isTail ? firstCluster + clusters - 1 : firstCluster);
        ByteBuf buffer = Operation.newBuffer(request, layout.clusterBytes());
        if (isTail) {
            tail = buffer;
        } else {
            head = buffer;
        }
        if (engine.readsAsZeroes(entry, start)) {
            buffer.setZero(0, layout.clusterBytes());
            writeFilled(operation, engine, request, isTail);
            return;
        }
        int length = layout.clusterBytes();
        if (Entry.isUnallocated(entry)) {
            length = (int) Math.min(length, Math.min(layout.sizeBytes(), engine.backingSizeBytes()) - start);
            buffer.setZero(length, layout.clusterBytes() - length);
        }
        ByteBuf into = length < layout.clusterBytes() ? buffer.retainedSlice(0, length) : buffer.retain();
        long offset = Entry.isData(entry) ? Entry.host(entry) : start;
        int bits = 2 * index + (isTail ? 1 : 0);
        BlockRequest own = operation.newTransfer(request, BlockOp.READ, 0, offset, into, Operation.FILL, bits);
        transfers++;
        if (Entry.isUnallocated(entry)) {
            engine.readBelow(own);
        } else if (Entry.isCompressed(entry)) {
            own.withCookie(entry, own.tapBits());
            request.stream().submitTo(engine.inflater(), own);
        } else {
            request.stream().submitTo(engine.storage(), own);
        }
    }

    /** A buffer has what its cluster was before, or that could not be read. */
    void filled(Operation operation, Qcow2Engine engine, BlockRequest request, boolean isTail, boolean isGood) {
        try {
            if (isGood && !hasFailed) {
                writeFilled(operation, engine, request, isTail);
            }
        } catch (RuntimeException | OutOfMemoryError e) {
            failed(operation, engine, request, e);
        }
        transferEnded(engine, isGood);
    }

    /** What is written comes over what the buffer has. */
    private void writeFilled(Operation operation, Qcow2Engine engine, BlockRequest request, boolean isTail) {
        Layout layout = engine.layout();
        int place = isTail ? clusters - 1 : 0;
        long start = layout.startOf(firstCluster + place);
        ByteBuf buffer = Objects.requireNonNull(isTail ? tail : head);
        long first = Math.max(start, from);
        int length = (int) (Math.min(start + layout.clusterBytes(), to) - first);
        int inBuffer = (int) (first - start);
        if (request.op() == BlockOp.WRITE) {
            buffer.setBytes(inBuffer, request.data(), (int) (first - request.offsetBytes()), length);
        } else {
            buffer.setZero(inBuffer, length);
        }
        writeTo(operation, engine, request, layout.startOf(firstHost + place), buffer.retain());
    }

    private void writeTo(Operation operation, Qcow2Engine engine, BlockRequest request, long host, ByteBuf data) {
        BlockRequest own = operation.newTransfer(request, BlockOp.WRITE, 0, host, data, Operation.ALLOCATED, index);
        transfers++;
        request.stream().submitTo(engine.storage(), own);
    }

    /** One of the transfers has ended. */
    void transferEnded(Qcow2Engine engine, boolean isGood) {
        hasFailed |= !isGood;
        if (--transfers > 0) {
            return;
        }
        releaseBuffers();
        if (hasFailed) {
            engine.map().abort(this);
        } else {
            engine.map().link(this);
        }
        isInUse = false;
    }

    private void releaseBuffers() {
        if (head != null) {
            head.release();
            head = null;
        }
        if (tail != null) {
            tail.release();
            tail = null;
        }
    }
}

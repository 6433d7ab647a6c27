package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.RequestHook;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.util.concurrent.FastThreadLocal;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.RejectedExecutionException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One request to an image on its way: it is walked along from its start to its end, and each piece that is in one place is transferred by a request of its own; several are in flight at a time.
 *
 * <p>Threads: the request's event loop, but for {@link #wake}. Used again and again on its loop.
 */
final class Operation implements Runnable {
    private static final Logger LOG = LoggerFactory.getLogger(Operation.class);

    /** Kinds of transfers: the request's own data, in a place that an epoch protects or not ... */
    static final int PLAIN = 0;
    /** ... a cluster's former content, into a buffer of an allocation ... */
    static final int FILL = 1;
    /** ... data into clusters of an allocation. */
    static final int ALLOCATED = 2;

    /** So many transfers at most are in flight: a write of many pieces does not take all there is. */
    private static final int MOST_TRANSFERS = 64;
    /** After so many steps others on the loop have their turn. */
    private static final int MOST_STEPS = 128;

    private static final int KIND_BITS = 2;
    private static final int NO_EPOCH = 2;

    private static final FastThreadLocal<ArrayDeque<Operation>> POOL = new FastThreadLocal<>() {
        @Override
        protected ArrayDeque<Operation> initialValue() {
            return new ArrayDeque<>();
        }
    };

    /** The next one that waits for the same; the {@link Waiters}'. */
    @Nullable
    Operation nextWaiter;
    /** How many clusters {@link ImageMap#empty} has emptied. */
    long emptied;

    private @Nullable Qcow2Engine engine;
    private @Nullable BlockRequest request;
    private final List<Allocation> allocations = new ArrayList<>();
    private long at;
    private long end;
    private int outstanding;
    private BlockStatus status = BlockStatus.OK;
    private volatile BlockStatus wokenBy = BlockStatus.OK;
    private boolean isWalking;
    private boolean isWaiting;
    /** There are as many transfers as may be. */
    private boolean isPaused;
    /** Something was changed that a durable write of the data alone does not make durable. */
    private boolean needsFlush;

    private Operation() {}

    /** Begins with a request that the caller's hook reports as stolen; it may be answered when this returns. */
    static void start(Qcow2Engine engine, BlockRequest request) {
        Operation operation = POOL.get().pollLast();
        if (operation == null) {
            operation = new Operation();
        }
        operation.begin(engine, request);
    }

    private void begin(Qcow2Engine itsEngine, BlockRequest itsRequest) {
        engine = itsEngine;
        request = itsRequest;
        at = itsRequest.offsetBytes();
        end = at + itsRequest.lengthBytes();
        status = BlockStatus.OK;
        needsFlush = false;
        itsRequest.attach(this);
        walk(itsEngine, itsRequest);
    }

    private void walk(Qcow2Engine itsEngine, BlockRequest itsRequest) {
        isWalking = true;
        isPaused = false;
        try {
            for (int step = 0; status == BlockStatus.OK && at < end && !isWaiting && !isPaused; step++) {
                if (step == MOST_STEPS) {
                    isWaiting = true;
                    wake(BlockStatus.OK);
                    break;
                }
                switch (itsRequest.op()) {
                    case READ -> read(itsEngine, itsRequest);
                    case WRITE -> write(itsEngine, itsRequest);
                    default -> empty(itsEngine, itsRequest);
                }
                isPaused = outstanding >= MOST_TRANSFERS;
            }
        } catch (RuntimeException | OutOfMemoryError e) {
            LOG.error("{}: {} failed; it is answered with an I/O error", itsEngine.name(), itsRequest, e);
            fail(BlockStatus.IO_ERROR);
        }
        isWalking = false;
        finishIfDone(itsEngine, itsRequest);
    }

    // ---- waiting

    /** Has the operation go on. Any thread. */
    void wake(BlockStatus by) {
        BlockRequest itsRequest = request;
        if (itsRequest == null) {
            throw new IllegalStateException("nothing is under way");
        }
        wokenBy = by;
        try {
            itsRequest.stream().eventLoop().execute(this);
        } catch (RejectedExecutionException e) {
            LOG.debug("{} can not go on: its event loop has ended", itsRequest);
        }
    }

    @Override
    public void run() {
        Qcow2Engine itsEngine = engine;
        BlockRequest itsRequest = request;
        if (itsEngine != null && itsRequest != null) {
            isWaiting = false;
            if (wokenBy != BlockStatus.OK) {
                fail(wokenBy);
            }
            walk(itsEngine, itsRequest);
        }
    }

    void fail(BlockStatus with) {
        if (status == BlockStatus.OK) {
            status = with;
        }
    }

    /** Goes by what the map has said. Returns whether it was done. */
    private boolean isDone(Attempt attempt, Qcow2Engine itsEngine) {
        switch (attempt) {
            case WAIT -> isWaiting = true;
            case NO_SPACE -> fail(BlockStatus.NO_SPACE);
            case BAD -> failBad(itsEngine);
            default -> {
                return attempt == Attempt.DONE;
            }
        }
        return false;
    }

    private void failBad(Qcow2Engine itsEngine) {
        itsEngine.complainOfDamage(at);
        fail(BlockStatus.IO_ERROR);
    }

    // ---- reading

    private void read(Qcow2Engine itsEngine, BlockRequest itsRequest) {
        ImageMap map = itsEngine.map();
        Layout layout = itsEngine.layout();
        long from = at;
        long cluster = layout.cluster(from);
        int epoch = map.enter();
        long entry = map.lookup(cluster);
        if (Entry.isData(entry)) {
            long host = Entry.host(entry);
            long to = endOfRun(itsEngine, cluster, host, false);
            at = to;
            transfer(
                    itsRequest,
                    BlockOp.READ,
                    0,
                    itsEngine.storage(),
                    host + layout.offsetInCluster(from),
                    pieceIn(map, epoch, itsRequest, from, to),
                    PLAIN,
                    epoch);
        } else if (entry == TableCache.MISS || entry == TableCache.BAD || !Entry.isCompressed(entry)) {
            map.leave(epoch);
            readElsewhere(itsEngine, itsRequest, cluster, entry);
        } else {
            long to = Math.min(end, layout.startOf(cluster + 1));
            at = to;
            BlockRequest own = newTransfer(
                    itsRequest, BlockOp.READ, 0, from, pieceIn(map, epoch, itsRequest, from, to), PLAIN, epoch);
            own.withCookie(entry, own.tapBits());
            itsRequest.stream().submitTo(itsEngine.inflater(), own);
        }
    }

    private void readElsewhere(Qcow2Engine itsEngine, BlockRequest itsRequest, long cluster, long entry) {
        if (entry == TableCache.MISS) {
            isDone(itsEngine.map().await(this, cluster), itsEngine);
            return;
        }
        if (entry == TableCache.BAD) {
            failBad(itsEngine);
            return;
        }
        long from = at;
        long to = Math.min(end, itsEngine.layout().startOf(cluster + 1));
        boolean isZero = itsEngine.readsAsZeroes(entry, from);
        while (to < end) {
            long next = itsEngine.map().lookup(itsEngine.layout().cluster(to));
            if (Entry.isData(next) || Entry.isCompressed(next) || itsEngine.readsAsZeroes(next, to) != isZero) {
                break;
            }
            to = Math.min(end, itsEngine.layout().startOf(itsEngine.layout().cluster(to) + 1));
        }
        if (isZero) {
            itsRequest.data().setZero((int) (from - itsRequest.offsetBytes()), (int) (to - from));
            at = to;
            return;
        }
        to = Math.min(to, itsEngine.backingSizeBytes());
        at = to;
        itsEngine.readBelow(
                newTransfer(itsRequest, BlockOp.READ, 0, from, piece(itsRequest, from, to), PLAIN, NO_EPOCH));
    }

    /** Returns where the run ends of clusters that lie in the file as in the disk, one after another. */
    private long endOfRun(Qcow2Engine itsEngine, long firstCluster, long firstHost, boolean inPlace) {
        Layout layout = itsEngine.layout();
        long cluster = firstCluster + 1;
        while (layout.startOf(cluster) < end) {
            long entry = itsEngine.map().lookup(cluster);
            boolean fits = (inPlace ? Entry.isInPlace(entry) : Entry.isData(entry))
                    && Entry.host(entry) == firstHost + layout.startOf(cluster - firstCluster);
            if (!fits) {
                break;
            }
            cluster++;
        }
        return Math.min(end, layout.startOf(cluster));
    }

    // ---- writing

    private void write(Qcow2Engine itsEngine, BlockRequest itsRequest) {
        ImageMap map = itsEngine.map();
        Layout layout = itsEngine.layout();
        long from = at;
        long cluster = layout.cluster(from);
        int epoch = map.enter();
        long entry = map.lookup(cluster);
        if (Entry.isInPlace(entry)) {
            long host = Entry.host(entry);
            long to = endOfRun(itsEngine, cluster, host, true);
            // After the look-ups: whoever finds a change is told that there are changes, until they are stable.
            int flags = itsRequest.isFua() && !map.hasChanges() ? BlockRequest.FUA : 0;
            at = to;
            needsFlush |= flags == 0;
            transfer(
                    itsRequest,
                    BlockOp.WRITE,
                    flags,
                    itsEngine.storage(),
                    host + layout.offsetInCluster(from),
                    pieceIn(map, epoch, itsRequest, from, to),
                    PLAIN,
                    epoch);
            return;
        }
        map.leave(epoch);
        Allocation allocation = freeAllocation();
        if (isDone(map.allocate(this, cluster, layout.cluster(end - 1), allocation), itsEngine)) {
            allocation.isInUse = true;
            needsFlush = true;
            allocation.from = from;
            allocation.to = Math.min(end, layout.startOf(allocation.firstCluster + allocation.clusters));
            at = allocation.to;
            allocation.write(this, itsEngine, itsRequest);
        }
    }

    private Allocation freeAllocation() {
        for (int i = 0; i < allocations.size(); i++) {
            if (!allocations.get(i).isInUse) {
                return allocations.get(i);
            }
        }
        Allocation made = new Allocation(allocations.size());
        allocations.add(made);
        return made;
    }

    // ---- zeroes, discards

    private void empty(Qcow2Engine itsEngine, BlockRequest itsRequest) {
        Layout layout = itsEngine.layout();
        boolean isDiscard = itsRequest.op() == BlockOp.DISCARD;
        long cluster = layout.cluster(at);
        long next = layout.startOf(cluster + 1);
        if (layout.offsetInCluster(at) == 0 && (next <= end || end == layout.sizeBytes())) {
            long last = end == layout.sizeBytes() ? layout.clusters() - 1 : layout.cluster(end) - 1;
            Emptying how = isDiscard
                    ? Emptying.DISCARD
                    : (itsRequest.flags() & BlockRequest.KEEP_ALLOCATED) != 0 ? Emptying.ZERO_KEEPING : Emptying.ZERO;
            if (isDone(itsEngine.map().empty(this, cluster, last, how, itsEngine.hasBacking()), itsEngine)) {
                needsFlush = true;
                at = Math.min(end, layout.startOf(cluster + emptied));
            }
        } else if (isDiscard) {
            at = Math.min(end, next);
        } else {
            zeroPart(itsEngine, itsRequest, cluster, Math.min(end, next));
        }
    }

    /** Zeroes a part of a cluster; what is zero already needs nothing. */
    private void zeroPart(Qcow2Engine itsEngine, BlockRequest itsRequest, long cluster, long to) {
        long entry = itsEngine.map().lookup(cluster);
        if (entry == TableCache.MISS) {
            isDone(itsEngine.map().await(this, cluster), itsEngine);
        } else if (entry != TableCache.BAD && itsEngine.readsAsZeroes(entry, at)) {
            needsFlush = true; // another request may just have made it so
            at = to;
        } else {
            long wholeEnd = end;
            end = to;
            write(itsEngine, itsRequest);
            end = wholeEnd;
        }
    }

    // ---- transfers

    /** As {@link #piece}, and leaves the epoch if that fails for want of memory. */
    private ByteBuf pieceIn(ImageMap map, int epoch, BlockRequest itsRequest, long from, long to) {
        try {
            return piece(itsRequest, from, to);
        } catch (RuntimeException | OutOfMemoryError e) {
            map.leave(epoch);
            throw e;
        }
    }

    /** Returns the request's data of a range of the disk, or zeroes if it has none, owned by the caller. */
    ByteBuf piece(BlockRequest itsRequest, long from, long to) {
        int length = (int) (to - from);
        if (itsRequest.op() == BlockOp.WRITE_ZEROES) {
            return newBuffer(itsRequest, length).setZero(0, length);
        }
        if (length == itsRequest.dataLength()) {
            return itsRequest.data().retain();
        }
        return itsRequest.data().retainedSlice((int) (from - itsRequest.offsetBytes()), length);
    }

    /** Bounded by the requests in flight: two clusters each. The loop's own buffers if it has some left. */
    static ByteBuf newBuffer(BlockRequest itsRequest, int length) {
        ByteBuf buffer = itsRequest.stream().memory().tryAllocate(length);
        return buffer == null ? PooledByteBufAllocator.DEFAULT.directBuffer(length, length) : buffer;
    }

    private void transfer(
            BlockRequest itsRequest,
            BlockOp op,
            int flags,
            RequestHook target,
            long offset,
            ByteBuf data,
            int kind,
            int bits) {
        itsRequest.stream().submitTo(target, newTransfer(itsRequest, op, flags, offset, data, kind, bits));
    }

    /** Makes a request that is to be submitted in any case: it counts from now on. Takes the data over, and the epoch of plain ones. */
    BlockRequest newTransfer(
            BlockRequest itsRequest, BlockOp op, int flags, long offset, ByteBuf data, int kind, int bits) {
        BlockRequest own;
        try {
            own = itsRequest.stream().newRequestBelow(itsRequest, Qcow2Engine.TRANSFERS);
        } catch (RuntimeException | OutOfMemoryError e) {
            data.release();
            if (kind == PLAIN && bits != NO_EPOCH) {
                java.util.Objects.requireNonNull(engine).map().leave(bits);
            }
            throw e;
        }
        outstanding++;
        return own.describe(op, flags, offset, data.capacity()).withData(data).withCookie(0, kind | bits << KIND_BITS);
    }

    /** A transfer has ended. */
    static void ended(BlockResponse response) {
        BlockRequest own = response.request();
        Operation operation = (Operation) own.parent().attachment();
        java.util.Objects.requireNonNull(operation).ended(own, response.status());
    }

    private void ended(BlockRequest own, BlockStatus how) {
        Qcow2Engine itsEngine = java.util.Objects.requireNonNull(engine);
        BlockRequest itsRequest = java.util.Objects.requireNonNull(request);
        int bits = own.tapBits() >>> KIND_BITS;
        if (how != BlockStatus.OK) {
            fail(how);
        }
        switch (own.tapBits() & (1 << KIND_BITS) - 1) {
            case FILL ->
                allocations.get(bits / 2).filled(this, itsEngine, itsRequest, bits % 2 == 1, how == BlockStatus.OK);
            case ALLOCATED -> allocations.get(bits).transferEnded(itsEngine, how == BlockStatus.OK);
            default -> {
                if (bits != NO_EPOCH) {
                    itsEngine.map().leave(bits);
                }
            }
        }
        outstanding--;
        if (isPaused && !isWalking && outstanding <= MOST_TRANSFERS / 2) {
            walk(itsEngine, itsRequest);
        } else {
            finishIfDone(itsEngine, itsRequest);
        }
    }

    private void finishIfDone(Qcow2Engine itsEngine, BlockRequest itsRequest) {
        if (isWalking || isWaiting || outstanding > 0) {
            return;
        }
        BlockStatus how = status;
        boolean isToBeFlushed = how == BlockStatus.OK && needsFlush && itsRequest.isFua();
        itsRequest.attach(null);
        engine = null;
        request = null;
        POOL.get().addLast(this);
        if (isToBeFlushed) {
            itsEngine.flush(itsRequest);
        } else {
            itsRequest.complete(how);
        }
    }
}

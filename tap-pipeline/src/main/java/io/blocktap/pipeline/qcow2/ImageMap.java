package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import io.netty.util.collection.LongObjectHashMap;
import java.nio.ByteBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Where each cluster of the disk is, and what has changed of that since the last checkpoint.
 *
 * <p>A change is made here when the data that it stands for have been written, never before; so a checkpoint that takes the changes, makes the data stable and then writes the changes can not show a cluster
 * that was not written.
 *
 * <p>Threads: {@link #lookup} and the epochs on any, without waiting; changes under this object's monitor, which is held for some memory accesses and never for I/O.
 */
final class ImageMap {
    /** So many entries at most are changed at a time. */
    private static final int STEP_ENTRIES = 1 << 13;

    private final Layout layout;
    private final TableCache tables;
    private final HostSpace space;
    private final TableVetting vetting;
    private final MapChanges changes;

    private final Reclamation reclamation;
    private final MapWorker worker;
    private final LongObjectHashMap<Allocation> pending = new LongObjectHashMap<>();
    private final LongObjectHashMap<Waiters> loading = new LongObjectHashMap<>();
    private final Waiters afterCheckpoint = new Waiters();
    private boolean isCheckpointAsked;

    /** @param own clusters that no table's entry may have; null if nothing is written */
    ImageMap(Layout layout, TableCache tables, HostSpace space, @Nullable OwnClusters own, MapWorker worker) {
        this.layout = layout;
        this.tables = tables;
        this.space = space;
        this.worker = worker;
        this.reclamation = new Reclamation(worker, this::reclaimOn);
        this.changes = new MapChanges(layout, tables);
        this.vetting = new TableVetting(layout, own, space.end());
    }

    // ---- without the monitor

    /** Returns a cluster's entry, {@link TableCache#MISS} or {@link TableCache#BAD}. Enter an epoch before, and leave it when its host cluster is not used any more. */
    long lookup(long cluster) {
        return tables.lookup(cluster);
    }

    int enter() {
        return reclamation.enter();
    }

    void leave(int slot) {
        if (reclamation.leave(slot)) {
            reclaimOn();
        }
    }

    private synchronized void reclaimOn() {
        reclamation.goOn();
    }

    /** Returns whether something would be written by a checkpoint, or is being. If not, what was looked up before is stable: a change is announced here before it can be found. */
    boolean hasChanges() {
        return changes.exist();
    }

    // ---- tables

    /** Has the operation woken when the table of a cluster is in memory, unless it is. */
    synchronized Attempt await(Operation operation, long cluster) {
        int l1Index = layout.l1Index(cluster);
        if (tables.get(l1Index) != null || tables.l1(l1Index) == Entry.UNALLOCATED) {
            return Attempt.LOOK_AGAIN;
        }
        Waiters waiters = loading.get(l1Index);
        if (waiters == null) {
            waiters = new Waiters();
            loading.put(l1Index, waiters);
            worker.load(l1Index, Entry.host(tables.l1(l1Index)));
        }
        waiters.add(operation);
        return Attempt.WAIT;
    }

    private Attempt awaitCheckpoint(Operation operation) {
        afterCheckpoint.add(operation);
        askForCheckpoint();
        return Attempt.WAIT;
    }

    private void askForCheckpoint() {
        if (!isCheckpointAsked) {
            isCheckpointAsked = true;
            worker.checkpoint();
        }
    }

    /** A table has been read. Returns how many of its entries are bad. On a worker. */
    int loaded(int l1Index, long hostOffset, ByteBuffer content) {
        TableVetting.Limits limits;
        synchronized (this) {
            limits = vetting.limits(l1Index, space.end());
        }
        long[] entries = new long[layout.l2Entries()];
        int bad = vetting.read(content, entries, limits);
        L2Table table = new L2Table(l1Index, hostOffset, entries);
        table.hasBadEntries = bad > 0;
        Operation waiting;
        synchronized (this) {
            tables.put(table, changes.tables());
            vetting.knows(l1Index);
            waiting = takeLoaders(l1Index);
        }
        Waiters.wake(waiting, BlockStatus.OK);
        return bad;
    }

    void notLoaded(int l1Index, BlockStatus status) {
        Operation waiting;
        synchronized (this) {
            waiting = takeLoaders(l1Index);
        }
        Waiters.wake(waiting, status);
    }

    private @Nullable Operation takeLoaders(int l1Index) {
        Waiters waiters = loading.remove(l1Index);
        return waiters == null ? null : waiters.takeAll();
    }

    // ---- writes

    /**
     * Takes host clusters for clusters that can not be written in place.
     *
     * @param last the last cluster that the operation wants to write, in a row from the first
     * @param into filled if this is DONE
     */
    synchronized Attempt allocate(Operation operation, long cluster, long last, Allocation into) {
        int l1Index = layout.l1Index(cluster);
        L2Table table = tables.get(l1Index);
        if (table == null && tables.l1(l1Index) != Entry.UNALLOCATED) {
            return await(operation, cluster);
        }
        Allocation before = pending.get(cluster);
        if (before != null) {
            before.waiters.add(operation);
            return Attempt.WAIT;
        }
        if (table != null && (table.hasBadEntries || Entry.isInPlace(table.get(layout.l2Index(cluster))))) {
            return table.hasBadEntries ? Attempt.BAD : Attempt.LOOK_AGAIN;
        }
        if (isOneTooMany(table)) {
            return awaitCheckpoint(operation);
        }
        long first = space.take(runToAllocate(table, cluster, last));
        if (first < 0) {
            return awaitSpace(operation);
        }
        into.isFresh = space.isFresh();
        into.firstHost = first;
        into.clusters = (int) space.granted();
        into.firstCluster = cluster;
        into.table = tableToChange(l1Index);
        into.table.pins++;
        into.firstEntry = into.table.get(layout.l2Index(cluster));
        into.lastEntry = into.table.get(layout.l2Index(cluster + into.clusters - 1));
        for (int i = 0; i < into.clusters; i++) {
            pending.put(cluster + i, into);
        }
        return Attempt.DONE;
    }

    /** Has the operation woken when clusters that were dropped can be had, if there are any. */
    private Attempt awaitSpace(Operation operation) {
        if (changes.clusters().hasDrops()) {
            return awaitCheckpoint(operation);
        }
        return reclamation.await(operation) ? Attempt.WAIT : Attempt.NO_SPACE;
    }

    /** Returns how many clusters from the first on need host clusters, are not waited for by others, and stand in the same table. */
    private int runToAllocate(@Nullable L2Table table, long cluster, long last) {
        int index = layout.l2Index(cluster);
        int most = (int) Math.min(last - cluster + 1, layout.l2Entries() - index);
        int run = 1;
        while (run < most
                && !pending.containsKey(cluster + run)
                && (table == null || !Entry.isInPlace(table.get(index + run)))) {
            run++;
        }
        return run;
    }

    /** Returns whether a change of a table would be that of one more than may be changed before a checkpoint. */
    private boolean isOneTooMany(@Nullable L2Table table) {
        return (table == null || table.dirtyPages.isEmpty()) && tables.isFull(changes.tables());
    }

    /** Returns whether there is a table with no other user, as a snapshot would be. */
    private boolean isOwn(int l1Index) {
        return (tables.l1(l1Index) & Entry.COPIED) != 0;
    }

    /** Returns a table that may be changed: makes it if there is none, and copies it to a place of its own if it is shared. */
    private L2Table tableToChange(int l1Index) {
        L2Table table = tables.get(l1Index);
        if (table != null && isOwn(l1Index)) {
            return table;
        }
        long host = space.takeForTable();
        changes.clusters().used.add(host, 1);
        if (table == null) {
            table = new L2Table(l1Index, layout.startOf(host), new long[layout.l2Entries()]);
            vetting.knows(l1Index);
            tables.put(table, changes.tables());
        } else {
            changes.clusters().dropped.add(layout.cluster(table.hostOffset), 1);
            table.hostOffset = layout.startOf(host);
        }
        changes.markDirty(table, 0, table.length());
        tables.setL1(l1Index, Entry.data(table.hostOffset));
        return table;
    }

    /** The data have been written: from now on they are the clusters' content. */
    void link(Allocation allocation) {
        Operation waiting;
        synchronized (this) {
            L2Table table = java.util.Objects.requireNonNull(allocation.table);
            int index = layout.l2Index(allocation.firstCluster);
            changes.markDirty(table, index, index + allocation.clusters);
            for (int i = 0; i < allocation.clusters; i++) {
                long former = table.get(index + i);
                table.set(index + i, Entry.data(layout.startOf(allocation.firstHost + i)));
                drop(former);
            }
            changes.clusters().used.add(allocation.firstHost, allocation.clusters);
            waiting = end(allocation);
            checkpointIfMany();
        }
        Waiters.wake(waiting, BlockStatus.OK);
    }

    /** The data could not be written: the clusters stay what they are. */
    void abort(Allocation allocation) {
        Operation waiting;
        synchronized (this) {
            space.giveBack(allocation.firstHost, allocation.clusters);
            waiting = end(allocation);
        }
        Waiters.wake(waiting, BlockStatus.OK);
    }

    private @Nullable Operation end(Allocation allocation) {
        for (int i = 0; i < allocation.clusters; i++) {
            pending.remove(allocation.firstCluster + i);
        }
        java.util.Objects.requireNonNull(allocation.table).pins--;
        allocation.table = null;
        return allocation.waiters.takeAll();
    }

    private void drop(long former) {
        if (Entry.isCompressed(former)) {
            changes.clusters().dropCompressed(former);
        } else if (Entry.host(former) != 0) {
            changes.clusters().dropped.add(layout.cluster(Entry.host(former)), 1);
        }
    }

    private void checkpointIfMany() {
        if (changes.areMany()) {
            askForCheckpoint();
        }
    }

    // ---- zeroes, discards

    /**
     * Empties whole clusters, as many as stand in one table.
     *
     * @return DONE: {@link Operation#emptied} clusters were
     */
    synchronized Attempt empty(Operation operation, long cluster, long last, Emptying how, boolean hasBacking) {
        int l1Index = layout.l1Index(cluster);
        int index = layout.l2Index(cluster);
        int most = (int) Math.min(last - cluster + 1, Math.min(layout.l2Entries() - index, STEP_ENTRIES));
        L2Table table = tables.get(l1Index);
        if (table == null) {
            if (tables.l1(l1Index) != Entry.UNALLOCATED) {
                return await(operation, cluster);
            }
        } else if (table.hasBadEntries) {
            return Attempt.BAD;
        }
        for (int i = 0; i < most && !pending.isEmpty(); i++) {
            if (awaitPending(operation, cluster + i)) {
                return Attempt.WAIT;
            }
        }
        if (table == null) {
            if (how == Emptying.DISCARD || !hasBacking) {
                operation.emptied = most;
                return Attempt.DONE;
            }
        }
        if (isOneTooMany(table)) {
            return awaitCheckpoint(operation);
        }
        if (!isOwn(l1Index) && !space.hasRoomForTable()) {
            return awaitSpace(operation);
        }
        emptyEntries(tableToChange(l1Index), index, most, how, hasBacking);
        operation.emptied = most;
        checkpointIfMany();
        return Attempt.DONE;
    }

    private boolean awaitPending(Operation operation, long cluster) {
        Allocation before = pending.get(cluster);
        if (before != null) {
            before.waiters.add(operation);
        }
        return before != null;
    }

    private void emptyEntries(L2Table table, int index, int count, Emptying how, boolean hasBacking) {
        for (int i = index; i < index + count; i++) {
            long former = table.get(i);
            long emptied = how.emptied(former, hasBacking);
            if (emptied != former) {
                changes.markDirty(table, i, i + 1);
                table.set(i, emptied);
                if (Entry.isCompressed(former) || Entry.host(former) != Entry.host(emptied)) {
                    drop(former);
                }
            }
        }
    }

    // ---- checkpoints

    /**
     * Takes what has changed, as it is at this moment. Followed by {@link #checkpointEnded} or {@link #checkpointFailed}.
     *
     * @return null if nothing has
     */
    synchronized @Nullable Changes take(StagedWrites l2, StagedWrites l1, long l1OffsetBytes) {
        isCheckpointAsked = false;
        if (!changes.exist()) {
            return null;
        }
        Changes taken = changes.take(l2, l1, l1OffsetBytes);
        reclamation.expect(taken.hasDrops());
        return taken;
    }

    /**
     * All that was taken is stable.
     *
     * @param freed host clusters that have no user any more
     */
    void checkpointEnded(ExtentList freed) {
        Operation waiting;
        Operation waitingForSpace;
        synchronized (this) {
            changes.written();
            reclamation.expect(false);
            reclamation.addDropped(freed);
            waiting = afterCheckpoint.takeAll();
            waitingForSpace = reclamation.takeWaitersIfIdle();
        }
        Waiters.wake(waiting, BlockStatus.OK);
        Waiters.wake(waitingForSpace, BlockStatus.OK);
    }

    /** There was nothing to write, or it could not be taken. */
    void nothingTaken(BlockStatus status) {
        Operation waiting;
        Operation waitingForSpace;
        synchronized (this) {
            reclamation.goOn();
            waiting = afterCheckpoint.takeAll();
            waitingForSpace = reclamation.takeWaitersIfIdle();
        }
        Waiters.wake(waiting, status);
        Waiters.wake(waitingForSpace, BlockStatus.OK);
    }

    /** What was taken is not stable, and will be taken again. */
    void checkpointFailed(Changes taken, StagedWrites l2, StagedWrites l1, long l1OffsetBytes, BlockStatus status) {
        Operation waiting;
        Operation waitingForSpace;
        synchronized (this) {
            changes.notWritten(taken, l2, l1, l1OffsetBytes);
            reclamation.expect(false);
            waiting = afterCheckpoint.takeAll();
            waitingForSpace = reclamation.takeWaiters();
        }
        Waiters.wake(waiting, status);
        Waiters.wake(waitingForSpace, status);
    }

    // ---- host clusters

    /** Takes a cluster for a table of the image's own. */
    synchronized long takeForTable() {
        return space.takeForTable();
    }

    /** Takes clusters in a row for a table of the image's own. */
    synchronized long takeForTable(long clusters) {
        return space.takeAtEnd(clusters);
    }

    /** Makes clusters available that have lost their last user, as soon as no transfer can use them any more. */
    synchronized void dropped(ExtentList extents) {
        reclamation.addDropped(extents);
    }

    /** Makes clusters available that had no user. */
    synchronized void found(ExtentList extents) {
        reclamation.addFound(extents);
    }

    /** Returns how many host clusters can be had again. */
    synchronized long freeClusters() {
        return space.freeClusters();
    }

    synchronized boolean hasFreeEnough() {
        return space.hasEnough();
    }

    /** What was handed over has been released. */
    void reclaimed(Freed freed) {
        Operation waiting;
        synchronized (this) {
            giveBack(freed.dropped);
            giveBack(freed.found);
            waiting = reclamation.ended();
        }
        Waiters.wake(waiting, BlockStatus.OK);
    }

    private void giveBack(ExtentList extents) {
        for (int i = 0; i < extents.size(); i++) {
            space.giveBack(extents.first(i), extents.length(i));
        }
    }
}

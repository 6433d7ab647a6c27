package io.blocktap.pipeline.qcow2;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The L1 table, whole, and as many of the L2 tables as there may be in memory.
 *
 * <p>Threads: {@link #lookup} on any; everything else under the monitor of the {@link ImageMap}.
 */
final class TableCache {
    /** Answer of {@link #lookup}: the table is not in memory. Never an entry; {@link Entry} takes it for a compressed one. */
    static final long MISS = -1;
    /** Stands for an entry that can not be right; {@link Entry} takes it for a compressed one. */
    static final long BAD = -2;

    /** Changed tables may go so far beyond the bound: a checkpoint copies them all. */
    private static final int MOST_CHANGED_BYTES = 512 << 20;

    /** Room for tables that are only looked at. */
    private static final int LEAST_UNCHANGED = 16;

    private static final VarHandle TABLES = MethodHandles.arrayElementVarHandle(L2Table[].class);
    private static final VarHandle L1 = MethodHandles.arrayElementVarHandle(long[].class);

    private final Layout layout;
    private final long[] l1;
    private final @Nullable L2Table[] tables;
    private final BitSet dirtyL1Pages = new BitSet();
    private final int most;
    private final int mostWithChanges;
    private final List<L2Table> present = new ArrayList<>();
    private int hand;

    /** @param most how many L2 tables are kept in memory, if not more are changed */
    TableCache(Layout layout, long[] l1, int most) {
        this.layout = layout;
        this.l1 = l1;
        this.tables = new L2Table[l1.length];
        this.most = most;
        this.mostWithChanges = most + Math.min(most, MOST_CHANGED_BYTES >> layout.clusterBits());
    }

    /** Returns a cluster's entry, or {@link #MISS} or {@link #BAD}. */
    long lookup(long cluster) {
        int l1Index = layout.l1Index(cluster);
        L2Table table = (L2Table) TABLES.getAcquire(tables, l1Index);
        if (table != null) {
            if (!table.isInUse) {
                table.isInUse = true;
            }
            return table.get(layout.l2Index(cluster));
        }
        return (long) L1.getAcquire(l1, l1Index) == Entry.UNALLOCATED ? Entry.UNALLOCATED : MISS;
    }

    @Nullable
    L2Table get(int l1Index) {
        return tables[l1Index];
    }

    long l1(int l1Index) {
        return l1[l1Index];
    }

    /** Changes an entry of L1. */
    void setL1(int l1Index, long entry) {
        L1.setRelease(l1, l1Index, entry);
        dirtyL1Pages.set(l1Index * Long.BYTES / layout.pageBytes());
    }

    /**
     * Adds a table.
     *
     * @param changed how many there are that can not be dropped: the bound is for the others then, so that there is always room to look something up
     */
    void put(L2Table table, int changed) {
        int bound = Math.max(most, changed + LEAST_UNCHANGED);
        while (present.size() >= bound && dropOne()) {
            // down to the bound
        }
        present.add(table);
        TABLES.setRelease(tables, table.l1Index, table);
    }

    /** Returns whether so many tables are changed that no other may be before some were written. */
    boolean isFull(int changed) {
        return changed >= mostWithChanges;
    }

    int most() {
        return most;
    }

    /** Drops a table that is neither changed nor in use, by the second chance that each has. */
    private boolean dropOne() {
        for (int tried = 0; tried < 2 * present.size(); tried++) {
            hand = hand >= present.size() - 1 ? 0 : hand + 1;
            L2Table candidate = present.get(hand);
            if (candidate.pins > 0 || !candidate.dirtyPages.isEmpty()) {
                continue;
            }
            if (candidate.isInUse) {
                candidate.isInUse = false;
                continue;
            }
            TABLES.setRelease(tables, candidate.l1Index, null);
            L2Table last = present.remove(present.size() - 1);
            if (last != candidate) {
                present.set(hand, last);
            }
            return true;
        }
        return false;
    }

    /** Copies what was changed of L1 since the last time. */
    void stageL1(StagedWrites staged, long l1OffsetBytes) {
        int words = layout.pageBytes() / Long.BYTES;
        for (int page = dirtyL1Pages.nextSetBit(0); page >= 0; page = dirtyL1Pages.nextSetBit(page + 1)) {
            int first = page * words;
            int last = Math.min(l1.length, first + words);
            var into = staged.stage(null, l1OffsetBytes + (long) first * Long.BYTES, (last - first) * Long.BYTES);
            for (int i = first; i < last; i++) {
                into.putLong(l1[i]);
            }
        }
        dirtyL1Pages.clear();
    }

    /** Marks a page as changed again that could not be written. */
    void redirtyL1(long offsetInTable) {
        dirtyL1Pages.set((int) (offsetInTable / layout.pageBytes()));
    }
}

package io.blocktap.pipeline.qcow2;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * What has changed of a map since the last checkpoint, and what a checkpoint is writing.
 *
 * <p>Threads: under the monitor of the {@link ImageMap}, but for {@link #exist}.
 */
final class MapChanges {
    /** So many at most are kept before a checkpoint is made that nobody has asked for. */
    private static final int MANY_CHANGES = 1 << 14;
    /** The same of tables, of which half of those in memory are enough, too: a checkpoint copies them while others wait. */
    private static final int MANY_TABLE_BYTES = 16 << 20;

    private final TableCache tables;
    private final int pageBytes;
    private final int manyTables;
    private final List<L2Table> dirty = new ArrayList<>();
    /** Those whose changes a checkpoint is writing. */
    private final List<L2Table> writing = new ArrayList<>();

    private Changes clusters = new Changes();
    private volatile boolean exist;

    MapChanges(Layout layout, TableCache tables) {
        this.tables = tables;
        this.pageBytes = layout.pageBytes();
        this.manyTables = Math.min(tables.most() / 2, MANY_TABLE_BYTES >> layout.clusterBits());
    }

    /** Returns whether something would be written by a checkpoint, or is being. Any thread: a change is announced here before it can be found. */
    boolean exist() {
        return exist;
    }

    /** Returns the host clusters that are used or dropped by the next checkpoint. */
    Changes clusters() {
        return clusters;
    }

    /** Announces a change of some entries, before it is made. */
    void markDirty(L2Table table, int firstIndex, int endIndex) {
        if (table.dirtyPages.isEmpty()) {
            dirty.add(table);
        }
        int words = pageBytes / Long.BYTES;
        table.dirtyPages.set(firstIndex / words, (endIndex - 1) / words + 1);
        exist = true;
    }

    /** Returns how many tables are changed, or being written. */
    int tables() {
        return dirty.size() + writing.size();
    }

    /** Returns whether there are so many that they are to be written. */
    boolean areMany() {
        return dirty.size() > manyTables || clusters.size() > MANY_CHANGES;
    }

    /** Takes them as they are at this moment. Followed by {@link #written} or {@link #notWritten}. */
    Changes take(StagedWrites l2, StagedWrites l1, long l1OffsetBytes) {
        int words = pageBytes / Long.BYTES;
        for (L2Table table : dirty) {
            int end;
            for (int page = table.dirtyPages.nextSetBit(0); page >= 0; page = table.dirtyPages.nextSetBit(end)) {
                end = table.dirtyPages.nextClearBit(page);
                ByteBuffer into = l2.stage(table, table.hostOffset + (long) page * pageBytes, (end - page) * pageBytes);
                table.copyTo(into, page * words, (end - page) * words);
            }
        }
        tables.stageL1(l1, l1OffsetBytes);
        // All is copied: nothing fails any more.
        for (L2Table table : dirty) {
            table.dirtyPages.clear();
            table.pins++; // what is on its way to the file must not be read from there
        }
        writing.addAll(dirty);
        dirty.clear();
        Changes taken = clusters;
        clusters = new Changes();
        return taken;
    }

    /** What was taken is stable. */
    void written() {
        unpin();
        exist = !dirty.isEmpty();
    }

    /** What was taken is not stable, and will be taken again. */
    void notWritten(Changes taken, StagedWrites l2, StagedWrites l1, long l1OffsetBytes) {
        unpin();
        int words = pageBytes / Long.BYTES;
        for (int i = 0; i < l2.count(); i++) {
            L2Table table = Objects.requireNonNull(l2.table(i));
            int page = (int) ((l2.offset(i) - table.hostOffset) / pageBytes);
            markDirty(table, page * words, (page + l2.length(i) / pageBytes) * words);
        }
        for (int i = 0; i < l1.count(); i++) {
            tables.redirtyL1(l1.offset(i) - l1OffsetBytes);
        }
        taken.addAll(clusters);
        clusters = taken;
    }

    private void unpin() {
        for (L2Table table : writing) {
            table.pins--;
        }
        writing.clear();
    }
}

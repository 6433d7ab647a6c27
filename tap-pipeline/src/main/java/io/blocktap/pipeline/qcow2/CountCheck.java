package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Looks whether all host clusters that an image uses, its snapshots' included, are counted. If one is not the refcounts are damaged, and what they call free may be somebody's data.
 *
 * <p>Looks at the tables as they are in the file, one at a time. A checkpoint raises counts before it writes what refers to them, and lowers them after it, so between two of them each table is good.
 *
 * <p>Source: QEMU, {@code docs/interop/qcow2.txt}.
 *
 * <p>Threads: those of checkpoints, never while one is being made; may wait.
 */
final class CountCheck {
    private static final Logger LOG = LoggerFactory.getLogger(CountCheck.class);
    /** Of L1 tables, at a time. */
    private static final int PART_ENTRIES = 512;
    /** Of L2 tables: a flush waits for no more. */
    private static final int STEP_ENTRIES = 1024;
    /** Snapshots share tables; so an image may have more of them than clusters, but one with very many is made up. */
    private static final int MOST_TABLES_A_CLUSTER = 16;

    private final ImageStorage storage;
    private final Layout layout;
    private final Refcounts refcounts;
    private final List<L1> l1s = new ArrayList<>();
    private final ByteBuffer part = ByteBuffer.allocateDirect(PART_ENTRIES * Long.BYTES);
    private final ByteBuffer formerPart = ByteBuffer.allocateDirect(PART_ENTRIES * Long.BYTES);
    private final ByteBuffer entries = ByteBuffer.allocateDirect(STEP_ENTRIES * Long.BYTES);
    private long tablesLeft;
    private int nextL1;
    private long nextTable;
    private int nextIndex;

    /** An L1 table: the disk's, or a snapshot's. */
    private record L1(long offsetBytes, long entries) {}

    CountCheck(ImageStorage storage, Layout layout, Qcow2Header header, SnapshotTable snapshots, Refcounts refcounts) {
        this.storage = storage;
        this.layout = layout;
        this.refcounts = refcounts;
        this.tablesLeft = MOST_TABLES_A_CLUSTER * layout.clustersFor(storage.sizeBytes());
        l1s.add(new L1(header.l1Offset(), layout.l1Entries()));
        for (Snapshot snapshot : snapshots.snapshots()) {
            l1s.add(new L1(snapshot.l1Offset(), Integer.toUnsignedLong(snapshot.l1Entries())));
        }
    }

    /**
     * Looks at some more of it. Not to be called again when there is no more.
     *
     * @return whether there is
     * @throws ImageException if something is not counted, or can not be read; the log tells
     */
    boolean goOn() throws ImageException {
        L1 l1 = l1s.get(nextL1);
        L1 former = nextL1 == 0 ? new L1(0, 0) : l1s.get(nextL1 - 1);
        int count = (int) Math.min(PART_ENTRIES, l1.entries - nextTable);
        int formerCount = (int) Math.max(0, Math.min(count, former.entries - nextTable));
        readPart(l1, part, count);
        readPart(former, formerPart, formerCount);
        for (int i = 0; i < count; i++) {
            long host = Entry.host(part.getLong(i * Long.BYTES));
            boolean isSeen = i < formerCount && Entry.host(formerPart.getLong(i * Long.BYTES)) == host;
            if (host != 0 && !isSeen) {
                nextTable += i;
                lookAt(host);
                return !isAtEnd();
            }
        }
        nextTable += count;
        return !isAtEnd();
    }

    private boolean isAtEnd() {
        while (nextL1 < l1s.size() && nextTable >= l1s.get(nextL1).entries) {
            nextL1++;
            nextTable = 0;
        }
        return nextL1 == l1s.size();
    }

    private void readPart(L1 l1, ByteBuffer into, int count) throws ImageException {
        if (count > 0) {
            into.clear().limit(count * Long.BYTES);
            ImageException.check(storage.read(into, l1.offsetBytes + nextTable * Long.BYTES));
        }
    }

    private void lookAt(long tableHost) throws ImageException {
        if (nextIndex == 0) {
            if (tablesLeft-- == 0) {
                throw bad("it has more tables than there can be");
            }
            requireCounted(tableHost, layout.clusterBytes());
        }
        int count = Math.min(STEP_ENTRIES, layout.l2Entries() - nextIndex);
        entries.clear().limit(count * Long.BYTES);
        ImageException.check(storage.read(entries, tableHost + (long) nextIndex * Long.BYTES));
        for (int i = 0; i < count; i++) {
            long entry = entries.getLong(i * Long.BYTES);
            if (Entry.isCompressed(entry)) {
                requireCounted(CompressedExtent.offset(entry, layout), CompressedExtent.length(entry, layout));
            } else if (Entry.host(entry) != 0) {
                requireCounted(Entry.host(entry), 1);
            }
        }
        nextIndex += count;
        if (nextIndex == layout.l2Entries()) {
            nextIndex = 0;
            nextTable++;
        }
    }

    private void requireCounted(long offsetBytes, long lengthBytes) throws ImageException {
        long end = layout.clustersFor(offsetBytes + lengthBytes);
        for (long cluster = layout.cluster(offsetBytes); cluster < end; cluster++) {
            if (!refcounts.hasUsers(cluster)) {
                throw bad("cluster " + cluster + " is in use and not counted");
            }
        }
    }

    private ImageException bad(String what) {
        LOG.error(
                "{}: {}: the refcounts are damaged, and nothing that they call free is used. Make a copy, then: qemu-img check -r all {}",
                storage.name(),
                what,
                storage.name());
        return new ImageException(BlockStatus.IO_ERROR);
    }
}

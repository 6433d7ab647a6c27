package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import java.nio.ByteBuffer;
import java.util.BitSet;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How many users each host cluster has: the table of an image, whole, and some of its blocks in memory.
 *
 * <p>Counts that are too high are a leak, which does no harm; so a raised count may be written at any time, a lowered one when nothing refers to the cluster any more.
 *
 * <p>Source: QEMU, {@code docs/interop/qcow2.txt}, "Host cluster management".
 *
 * <p>Threads: those of checkpoints, one at a time; may wait.
 */
final class Refcounts {
    private static final Logger LOG = LoggerFactory.getLogger(Refcounts.class);
    /** QEMU refuses larger ones. */
    private static final int MOST_TABLE_BYTES = 8 << 20;
    /** A table's place and size in the header. */
    private static final int HEADER_FIELD_OFFSET = 48;

    private static final int HEADER_FIELD_BYTES = 12;
    private static final long OFFSET_MASK = ~0x1ffL;
    private static final int LOGGED_UNCOUNTED = 5;
    /** So many bytes of blocks may count clusters behind the end of the file: who was killed leaves some, more is made up. */
    private static final int MOST_BYTES_BEHIND_END = 64 << 20;

    private final Layout layout;
    private final ImageStorage storage;
    private final int order;
    private final int mostBlocks;
    private final LinkedHashMap<Integer, RefcountBlock> blocks = new LinkedHashMap<>(64, 0.75f, true);
    private long tableOffset;
    private long[] table;
    private final BitSet dirtyTablePages = new BitSet();
    /** Where the table was before it was moved, since the header was written last. */
    private ExtentList formerTables = new ExtentList();
    /** The image's own clusters for blocks and tables, which have to be counted, too. */
    private ExtentList owed = new ExtentList();

    private long writtenBytes;
    private long uncounted;
    /** Clusters that the image had for itself when it was opened ... */
    private OwnClusters own = OwnClusters.NONE;
    /** ... and those of them that it has not any more. */
    private final Set<Long> given = new HashSet<>();
    /** Of a block that was dropped, for the next one. */
    private @Nullable ByteBuffer spare;

    /**
     * Reads the table.
     *
     * @param mostBlocks how many blocks are kept in memory
     */
    Refcounts(Qcow2Header header, Layout layout, ImageStorage storage, int mostBlocks) throws ImageException {
        this.layout = layout;
        this.storage = storage;
        this.order = header.refcountOrder();
        this.mostBlocks = mostBlocks;
        this.tableOffset = header.refcountTableOffset();
        ByteBuffer bytes = ByteBuffer.allocateDirect(header.refcountTableClusters() << layout.clusterBits());
        ImageException.check(storage.read(bytes, tableOffset));
        table = new long[bytes.capacity() / Long.BYTES];
        bytes.clear().asLongBuffer().get(table);
        checkTable();
    }

    /**
     * Has the image's own clusters looked after from now on. A count of 0 for one of them means that the counts are damaged; then others may be free by mistake as well, and would be overwritten. Those of the
     * header and the large tables are looked at now, those of L2 tables and blocks when their part of the file is.
     *
     * @return the image's own clusters
     * @throws StageException if one has no count, or is that of two tables; in words for the user
     */
    OwnClusters guard(Qcow2Header header, long[] l1, SnapshotTable snapshots) throws StageException, ImageException {
        own = OwnClusters.of(storage, layout, header, l1, table, snapshots);
        requireCounted("header", 0, 1);
        requireCounted("L1 table", header.l1Offset(), (long) header.l1Entries() * Long.BYTES);
        requireCounted("refcount table", tableOffset, layout.startOf(header.refcountTableClusters()));
        requireCounted("table of snapshots", snapshots.offsetBytes(), snapshots.lengthBytes());
        for (Snapshot snapshot : snapshots.snapshots()) {
            requireCounted("L1 table of a snapshot", snapshot.l1Offset(), snapshot.l1Bytes());
        }
        return own;
    }

    /** Returns whether a host cluster is counted. */
    boolean hasUsers(long cluster) throws ImageException {
        long index = blockOf(cluster);
        RefcountBlock block = index < table.length ? block((int) index) : null;
        return block != null && block.count(indexOf(cluster)) != 0;
    }

    private void requireCounted(String what, long offsetBytes, long lengthBytes) throws StageException, ImageException {
        long end = layout.clustersFor(offsetBytes + lengthBytes);
        for (long cluster = layout.cluster(offsetBytes); lengthBytes > 0 && cluster < end; cluster++) {
            if (!hasUsers(cluster)) {
                throw new StageException(storage.name() + ": its refcounts say that cluster " + cluster
                        + " is free, which has its " + what
                        + "; they are damaged, and writes would destroy data. Make a copy, then: qemu-img check -r all "
                        + storage.name());
            }
        }
    }

    /** Returns what is to be thrown if a part of the file has clusters of the image's own which nothing counts. */
    private ImageException damaged(long cluster) {
        return badTable("the refcounts say that cluster " + cluster
                + " is free, which has one of its tables: they are damaged");
    }

    /** Each block is a whole cluster of the file, and stands for one part of it. */
    private void checkTable() throws ImageException {
        long fileBytes = storage.sizeBytes();
        for (int i = 0; i < table.length; i++) {
            if ((table[i] & ~OFFSET_MASK) != 0
                    || layout.offsetInCluster(table[i]) != 0
                    || table[i] < 0
                    || table[i] >= fileBytes && table[i] != 0) {
                throw badTable("entry " + i + " of the refcount table is bad");
            }
        }
        long[] sorted = table.clone();
        java.util.Arrays.sort(sorted);
        for (int i = 1; i < sorted.length; i++) {
            if (sorted[i] != 0 && sorted[i] == sorted[i - 1]) {
                throw badTable("two entries of the refcount table have the block at " + sorted[i]);
            }
        }
    }

    private ImageException badTable(String what) {
        LOG.error("{}: {}; qemu-img check -r all repairs what can be", storage.name(), what);
        return new ImageException(BlockStatus.IO_ERROR);
    }

    /** Returns the bytes written so far. */
    long writtenBytes() {
        return writtenBytes;
    }

    private int blockBits() {
        return layout.clusterBits() + 3 - order;
    }

    private long clustersABlock() {
        return 1L << blockBits();
    }

    /** Returns where in its block a cluster's count is. */
    private int indexOf(long cluster) {
        return (int) (cluster & clustersABlock() - 1);
    }

    private RefcountBlock newBlock(long hostOffset, ByteBuffer content) {
        return new RefcountBlock(hostOffset, content, order, layout.pageBytes());
    }

    // ---- looking

    /**
     * Returns the number behind the last host cluster that has a user, as far as the counts tell.
     *
     * @param fileEnd the number behind the file's last cluster; not less is returned
     */
    long end(long fileEnd) throws ImageException {
        ByteBuffer content = ByteBuffer.allocateDirect(layout.clusterBytes());
        int left = MOST_BYTES_BEHIND_END >> layout.clusterBits();
        for (int i = table.length - 1; i >= blockOf(fileEnd); i--) {
            if (table[i] == 0) {
                continue;
            }
            if (left-- == 0 || i >= layout.mostHostClusters() >> blockBits()) {
                throw badTable("the refcounts go on far behind the end of the file");
            }
            ImageException.check(storage.read(content.clear(), table[i]));
            int used = newBlock(table[i], content).used();
            if (used > 0) {
                return Math.max(fileEnd, ((long) i << blockBits()) + used);
            }
        }
        return fileEnd;
    }

    /**
     * Adds the clusters without users in one block's part of the file to a list.
     *
     * @throws ImageException also if the counts are damaged; then nothing of what was added is to be used
     */
    void findFree(long blockIndex, long endCluster, ExtentList into) throws ImageException {
        long first = blockIndex << blockBits();
        long end = Math.min(endCluster, first + clustersABlock());
        RefcountBlock block = blockIndex < table.length ? block((int) blockIndex) : null;
        for (long cluster = first; block != null && cluster < end; cluster++) {
            if (block.count((int) (cluster - first)) == 0) {
                if (own.contains(cluster) && !given.contains(cluster)) {
                    throw damaged(cluster);
                }
                into.add(cluster, 1);
            }
        }
    }

    /** Returns the block that counts a cluster. */
    long blockOf(long cluster) {
        return cluster >>> blockBits();
    }

    // ---- counting

    /**
     * Counts one user more of each cluster; makes blocks where there are none.
     *
     * @param used emptied; what is left in it if this fails was not counted
     */
    void addAll(ExtentList used, ImageMap map) throws ImageException {
        addEach(used, map);
        while (!owed.isEmpty()) {
            ExtentList own = owed;
            owed = new ExtentList();
            try {
                addEach(own, map);
            } finally {
                owed.addAll(own);
            }
        }
    }

    private void addEach(ExtentList used, ImageMap map) throws ImageException {
        while (!used.isEmpty()) {
            long cluster = used.first(0);
            RefcountBlock block = blockToAdd(cluster, map);
            int index = indexOf(cluster);
            set(block, index, block.count(index) + 1);
            used.removeFirstCluster();
        }
    }

    /** Counts one user less. Returns whether there is none left. */
    boolean drop(long cluster) throws ImageException {
        long index = blockOf(cluster);
        RefcountBlock block = index < table.length ? block((int) index) : null;
        long former = block == null ? 0 : block.count(indexOf(cluster));
        if (block == null || former == 0) {
            if (++uncounted <= LOGGED_UNCOUNTED || uncounted % 1000 == 0) {
                LOG.error(
                        "{}: host cluster {} was in use and has no refcount; qemu-img check tells more ({} were so)",
                        storage.name(),
                        cluster,
                        uncounted);
            }
            return false;
        }
        set(block, indexOf(cluster), former - 1);
        if (former == 1 && own.contains(cluster)) {
            given.add(cluster);
        }
        return former == 1;
    }

    private void set(RefcountBlock block, int index, long count) throws ImageException {
        if (!block.canHold(count)) {
            LOG.error("{}: a refcount of {} bits can not be {}", storage.name(), 1 << order, count);
            throw new ImageException(BlockStatus.IO_ERROR);
        }
        block.set(index, count);
    }

    // ---- blocks

    private @Nullable RefcountBlock block(int index) throws ImageException {
        RefcountBlock present = blocks.get(index);
        if (present != null || table[index] == 0) {
            return present;
        }
        ByteBuffer content = spare == null ? ByteBuffer.allocateDirect(layout.clusterBytes()) : spare.clear();
        spare = null;
        ImageException.check(storage.read(content, table[index]));
        RefcountBlock block = newBlock(table[index], content.clear());
        keep(index, block);
        return block;
    }

    private void keep(int index, RefcountBlock block) throws ImageException {
        blocks.put(index, block);
        Iterator<Map.Entry<Integer, RefcountBlock>> eldest = blocks.entrySet().iterator();
        while (blocks.size() > mostBlocks && eldest.hasNext()) {
            RefcountBlock dropped = eldest.next().getValue();
            if (dropped != block) {
                writtenBytes += dropped.writeTo(storage);
                eldest.remove();
                spare = dropped.takeContent();
            }
        }
    }

    private RefcountBlock blockToAdd(long cluster, ImageMap map) throws ImageException {
        long index = blockOf(cluster);
        if (index >= table.length) {
            growTable(index, map);
        }
        RefcountBlock present = block((int) index);
        if (present != null) {
            return present;
        }
        long uncounted = own.firstIn(index << blockBits(), index + 1 << blockBits());
        if (uncounted >= 0) {
            throw damaged(uncounted);
        }
        long host = map.takeForTable();
        RefcountBlock made = newBlock(layout.startOf(host), ByteBuffer.allocateDirect(layout.clusterBytes()));
        made.markNew();
        table[(int) index] = layout.startOf(host);
        dirtyTablePages.set((int) (index * Long.BYTES / layout.pageBytes()));
        owed.add(host, 1);
        keep((int) index, made);
        return made;
    }

    private void growTable(long index, ImageMap map) throws ImageException {
        long entriesACluster = layout.clusterBytes() / Long.BYTES;
        long clusters = Math.max(index + 1, table.length + table.length / 2L) / entriesACluster + 1;
        if (clusters << layout.clusterBits() > MOST_TABLE_BYTES) {
            LOG.error("{}: its refcount table has its largest size; no more clusters can be counted", storage.name());
            throw new ImageException(BlockStatus.NO_SPACE);
        }
        formerTables.add(layout.cluster(tableOffset), layout.clustersFor((long) table.length * Long.BYTES));
        long first = map.takeForTable(clusters);
        table = java.util.Arrays.copyOf(table, (int) (clusters * entriesACluster));
        tableOffset = layout.startOf(first);
        dirtyTablePages.set(0, (int) ((long) table.length * Long.BYTES / layout.pageBytes()));
        owed.add(first, clusters);
    }

    // ---- writing

    /** Writes all changed blocks. They are stable after the next sync. */
    void writeBlocks() throws ImageException {
        for (RefcountBlock block : blocks.values()) {
            writtenBytes += block.writeTo(storage);
        }
    }

    /** Returns whether a block is to be written. */
    boolean hasDirtyBlocks() {
        for (RefcountBlock block : blocks.values()) {
            if (block.isDirty()) {
                return true;
            }
        }
        return false;
    }

    /** Returns whether there are new blocks that {@link #writeTable} has to make known. */
    boolean isTableChanged() {
        return !dirtyTablePages.isEmpty();
    }

    /**
     * Makes new blocks known, after they were made stable.
     *
     * @param freed gets the clusters of a table that was replaced
     */
    void writeTable(ExtentList freed) throws ImageException {
        int page = layout.pageBytes();
        int words = page / Long.BYTES;
        ByteBuffer bytes = ByteBuffer.allocateDirect(page);
        for (int dirty = dirtyTablePages.nextSetBit(0); dirty >= 0; dirty = dirtyTablePages.nextSetBit(dirty + 1)) {
            bytes.clear();
            bytes.asLongBuffer().put(table, dirty * words, words);
            writtenBytes += page;
            ImageException.check(storage.write(bytes, tableOffset + (long) dirty * page));
        }
        ImageException.check(storage.sync());
        if (!formerTables.isEmpty()) {
            ByteBuffer field = ByteBuffer.allocateDirect(HEADER_FIELD_BYTES);
            field.putLong(tableOffset)
                    .putInt((int) layout.clustersFor((long) table.length * Long.BYTES))
                    .flip();
            ImageException.check(storage.write(field, HEADER_FIELD_OFFSET));
            ImageException.check(storage.sync());
            freed.addAll(formerTables);
            formerTables = new ExtentList();
        }
        dirtyTablePages.clear();
    }
}

package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes what has changed of a map, in an order by which the file is a good image at every moment, whatever part of the writes since the last sync is lost: first the data and the refcounts, then what refers to
 * them, then what refers to that; and last the lower refcounts of what nothing refers to any more. If it ends early some clusters are counted that nothing uses; nothing else is wrong.
 *
 * <p>Threads: any that may wait; one at a time does something.
 */
final class Checkpoint {
    private static final Logger LOG = LoggerFactory.getLogger(Checkpoint.class);

    private final ImageStorage storage;
    private final Layout layout;
    private final ImageMap map;
    private final Refcounts refcounts;
    private final long l1OffsetBytes;
    private final StagedWrites l2Pages = new StagedWrites();
    private final StagedWrites l1Pages = new StagedWrites();
    private final FreeSearch search;
    /** Host clusters that nothing in the file refers to any more, as often as that is so. */
    private final ExtentList toDrop = new ExtentList();

    private boolean isFirstPartDue;
    private long writtenBytes;

    Checkpoint(
            ImageStorage storage,
            Layout layout,
            ImageMap map,
            Refcounts refcounts,
            Qcow2Header header,
            SnapshotTable snapshots,
            long endCluster) {
        this.storage = storage;
        this.layout = layout;
        this.map = map;
        this.refcounts = refcounts;
        this.l1OffsetBytes = header.l1Offset();
        this.search = new FreeSearch(
                refcounts, map, endCluster, () -> new CountCheck(storage, layout, header, snapshots, refcounts));
    }

    /** Makes everything stable that was written, and all changes of the map, before the call. */
    synchronized BlockStatus run() {
        l2Pages.clear();
        l1Pages.clear();
        Changes changes;
        try {
            changes = map.take(l2Pages, l1Pages, l1OffsetBytes);
        } catch (RuntimeException | OutOfMemoryError e) {
            LOG.error("{}: a checkpoint could not be begun", storage.name(), e);
            map.nothingTaken(BlockStatus.IO_ERROR);
            return BlockStatus.IO_ERROR;
        }
        if (changes == null) {
            BlockStatus status = storage.sync();
            if (hasLeftovers()) {
                map.dropped(drop());
            }
            map.nothingTaken(BlockStatus.OK);
            return status;
        }
        try {
            writeAll(changes);
        } catch (ImageException e) {
            map.checkpointFailed(changes, l2Pages, l1Pages, l1OffsetBytes, e.status());
            return e.status();
        } catch (RuntimeException | OutOfMemoryError e) {
            LOG.error("{}: a checkpoint failed", storage.name(), e);
            map.checkpointFailed(changes, l2Pages, l1Pages, l1OffsetBytes, BlockStatus.IO_ERROR);
            return BlockStatus.IO_ERROR;
        }
        toDrop.addAll(changes.dropped);
        for (int i = 0; i < changes.droppedCompressedCount(); i++) {
            long start = CompressedExtent.offset(changes.droppedCompressed(i), layout);
            long end = start + CompressedExtent.length(changes.droppedCompressed(i), layout);
            toDrop.add(layout.cluster(start), layout.cluster(end - 1) - layout.cluster(start) + 1);
        }
        map.checkpointEnded(drop());
        return BlockStatus.OK;
    }

    /** Returns whether something of an earlier checkpoint could not be written, without which the image is right, but has leaks. */
    synchronized boolean hasLeftovers() {
        return !toDrop.isEmpty() || refcounts.hasDirtyBlocks();
    }

    private void writeAll(Changes changes) throws ImageException {
        if (!changes.used.isEmpty() || isFirstPartDue || refcounts.isTableChanged()) {
            isFirstPartDue =
                    true; // until it is stable: if this fails the next try has to do it, though nothing more is used
            refcounts.addAll(changes.used, map);
            refcounts.writeBlocks();
            ImageException.check(storage.sync());
            if (refcounts.isTableChanged()) {
                refcounts.writeTable(toDrop);
            }
            isFirstPartDue = false;
        }
        if (!l2Pages.isEmpty()) {
            writtenBytes += l2Pages.writeTo(storage);
        }
        ImageException.check(storage.sync());
        if (!l1Pages.isEmpty()) {
            writtenBytes += l1Pages.writeTo(storage);
            ImageException.check(storage.sync());
        }
    }

    /** Counts one user less of what was dropped, and returns what has none now. What can't be done, the next checkpoint does: a leak until then. */
    private ExtentList drop() {
        ExtentList free = new ExtentList();
        try {
            while (!toDrop.isEmpty()) {
                long cluster = toDrop.first(0);
                if (refcounts.drop(cluster)) {
                    free.add(cluster, 1);
                }
                toDrop.removeFirstCluster();
            }
            refcounts.writeBlocks();
        } catch (ImageException e) {
            LOG.warn("{}: clusters that are not used any more can not be given back now", storage.name());
        } catch (RuntimeException | OutOfMemoryError e) {
            LOG.error("{}: clusters that are not used any more can not be given back now", storage.name(), e);
        }
        return search.reached(free);
    }

    /** Returns whether {@link #searchFree} would look at something. Any thread. */
    boolean hasMoreToSearch() {
        return search.hasMore();
    }

    /** Looks for clusters without users, as long as there are few that are known. Returns whether there is more to look at. */
    synchronized boolean searchFree() {
        return search.goOn();
    }

    /** Returns how many bytes of tables and refcounts were written. */
    synchronized long writtenBytes() {
        return writtenBytes + refcounts.writtenBytes();
    }
}

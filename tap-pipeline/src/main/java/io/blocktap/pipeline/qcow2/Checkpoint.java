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
    private long writtenBytes;

    Checkpoint(
            ImageStorage storage,
            Layout layout,
            ImageMap map,
            Refcounts refcounts,
            long l1OffsetBytes,
            long endCluster) {
        this.storage = storage;
        this.layout = layout;
        this.map = map;
        this.refcounts = refcounts;
        this.l1OffsetBytes = l1OffsetBytes;
        this.search = new FreeSearch(refcounts, map, endCluster);
    }

    /** Makes everything stable that was written, and all changes of the map, before the call. */
    synchronized BlockStatus run() {
        l2Pages.clear();
        l1Pages.clear();
        Changes changes = map.take(l2Pages, l1Pages, l1OffsetBytes);
        if (changes == null) {
            BlockStatus status = storage.sync();
            map.nothingTaken();
            return status;
        }
        ExtentList freed = new ExtentList();
        try {
            writeAll(changes, freed);
        } catch (ImageException e) {
            map.checkpointFailed(changes, l2Pages, l1Pages, l1OffsetBytes, e.status());
            return e.status();
        } catch (RuntimeException e) {
            LOG.error("{}: a checkpoint failed", storage.name(), e);
            map.checkpointFailed(changes, l2Pages, l1Pages, l1OffsetBytes, BlockStatus.IO_ERROR);
            return BlockStatus.IO_ERROR;
        }
        map.checkpointEnded(drop(changes, freed));
        return BlockStatus.OK;
    }

    private void writeAll(Changes changes, ExtentList freed) throws ImageException {
        if (!changes.used.isEmpty() || refcounts.isTableChanged()) {
            refcounts.addAll(changes.used, map);
            refcounts.writeBlocks();
            ImageException.check(storage.sync());
            if (refcounts.isTableChanged()) {
                refcounts.writeTable(freed);
            }
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

    /** Counts one user less of what was dropped. It is right if that is not done: a leak. */
    private ExtentList drop(Changes changes, ExtentList formerTables) {
        ExtentList free = new ExtentList();
        try {
            drop(formerTables, free);
            drop(changes.dropped, free);
            for (int i = 0; i < changes.droppedCompressedCount(); i++) {
                long entry = changes.droppedCompressed(i);
                long start = CompressedExtent.offset(entry, layout);
                long first = layout.cluster(start);
                long last = layout.cluster(start + CompressedExtent.length(entry, layout) - 1);
                for (long cluster = first; cluster <= last; cluster++) {
                    drop(cluster, free);
                }
            }
            refcounts.writeBlocks();
        } catch (ImageException e) {
            LOG.warn(
                    "{}: clusters that are not used any more could not be given back; qemu-img check -r leaks does it when the image is not served",
                    storage.name());
        }
        return search.reached(free);
    }

    private void drop(ExtentList dropped, ExtentList free) throws ImageException {
        for (int i = 0; i < dropped.size(); i++) {
            for (long cluster = dropped.first(i); cluster < dropped.first(i) + dropped.length(i); cluster++) {
                drop(cluster, free);
            }
        }
    }

    private void drop(long cluster, ExtentList free) throws ImageException {
        if (refcounts.drop(cluster)) {
            free.add(cluster, 1);
        }
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

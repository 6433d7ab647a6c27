package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.SerialLane;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.SubRequestListener;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.WorkerPool;
import java.nio.ByteBuffer;
import java.util.EnumSet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An open qcow2 image: answers requests from it, from what is below where it has nothing, and keeps what is written in it.
 *
 * <p>Data go between a request's own buffer and the file without a stop; the map is looked up on the event loop without a lock. A write to a cluster that has no place yet gets one, with the rest of the cluster copied
 * from below, and is in the map when it is in the file. The map's changes are written by {@linkplain Checkpoint checkpoints}: by flushes, when there are many, and when the image is closed.
 *
 * <p>Threads: requests on any number of event loops, which never wait here.
 */
public final class Qcow2Engine implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Qcow2Engine.class);
    private static final int LOGGED_DAMAGES = 5;
    private static final int LOGICAL_BLOCK_BYTES = 512;
    private static final int PHYSICAL_BLOCK_BYTES = 4096;

    /** Hears how the transfers of all operations end. */
    static final SubRequestListener TRANSFERS = Operation::ended;

    private final ImageStorage storage;
    private final Qcow2Header header;
    private final Layout layout;
    private final @Nullable Backing backing;
    private final ImageMap map;
    private final @Nullable Checkpoint checkpoint;
    private final SerialLane flushes;
    private final Inflation inflation;
    private final AtomicLong damages = new AtomicLong();
    private final AtomicBoolean isSearching = new AtomicBoolean();
    private final BackgroundWork background;

    private Qcow2Engine(
            ImageStorage storage,
            Qcow2Header header,
            @Nullable Backing backing,
            WorkerPool workers,
            Qcow2Options options)
            throws StageException, ImageException {
        this.storage = storage;
        this.header = header;
        this.layout = new Layout(header.clusterBits(), header.sizeBytes());
        this.backing = backing;
        this.background = new BackgroundWork(workers);
        this.inflation = new Inflation(storage, layout, header.compression(), workers);
        int tables = (int) Math.max(16, options.l2CacheBytes() >> layout.clusterBits());
        Refcounts refcounts =
                options.isReadOnly() ? null : new Refcounts(header, layout, storage, Math.max(16, tables / 4));
        long fileEnd = layout.clustersFor(storage.sizeBytes());
        long end = refcounts == null ? Long.MAX_VALUE >> layout.clusterBits() : refcounts.end(fileEnd);
        if (refcounts != null && end > layout.mostHostClusters()) {
            throw new StageException(storage.name() + " has " + storage.sizeBytes() + " bytes; an image may have "
                    + layout.startOf(layout.mostHostClusters())
                    + " to be written, so read-only is the way to serve it");
        }
        long limit =
                options.limitBytes() < 0 ? layout.mostHostClusters() : options.limitBytes() >> layout.clusterBits();
        long[] l1 = readL1();
        SnapshotTable snapshots = options.isReadOnly() ? SnapshotTable.NONE : SnapshotTable.read(storage, header);
        OwnClusters own = refcounts == null ? null : refcounts.guard(header, l1, snapshots);
        this.map = new ImageMap(layout, new TableCache(layout, l1, tables), new HostSpace(end, limit), own, new Work());
        this.checkpoint =
                refcounts == null ? null : new Checkpoint(storage, layout, map, refcounts, header, snapshots, fileEnd);
        this.flushes = new SerialLane(workers, request -> checkpointNow(), SerialLane.Answers.ALL_WAITING);
    }

    /**
     * Opens an image.
     *
     * @param storage closed by {@link #close}; stays the caller's if this fails
     * @param header the image's, which {@linkplain Qcow2Header#requireUsable can be used} so
     * @param backing what is below; null if there is nothing
     * @throws StageException in words for the user: what is wrong with the image, and what to do
     */
    public static Qcow2Engine open(
            ImageStorage storage,
            Qcow2Header header,
            @Nullable Backing backing,
            WorkerPool workers,
            Qcow2Options options)
            throws StageException {
        try {
            Qcow2Engine engine = new Qcow2Engine(storage, header, backing, workers, options);
            if (!options.isReadOnly() && header.autoclearFeatures() != 0) {
                LOG.warn(
                        "{} has data that only some programs keep right when it is written (bitmaps, for example); they are marked as not valid any more",
                        storage.name());
                header.writeWithoutAutoclear(storage);
            }
            engine.searchFree();
            return engine;
        } catch (ImageException e) {
            throw new StageException(
                    storage.name() + ": its tables can not be read; qemu-img check " + storage.name()
                            + " tells what is wrong",
                    e);
        }
    }

    private long[] readL1() throws ImageException, StageException {
        int needed = (int) layout.l1Entries();
        if (header.l1Entries() < layout.l1Entries()) {
            throw new StageException(storage.name() + ": its L1 table has " + header.l1Entries()
                    + " entries, its size of " + header.sizeBytes() + " bytes needs " + layout.l1Entries()
                    + "; qemu-img check -r all may repair it");
        }
        ByteBuffer bytes = ByteBuffer.allocateDirect(needed * Long.BYTES);
        ImageException.check(storage.read(bytes, header.l1Offset()));
        bytes.clear();
        long[] l1 = new long[needed];
        bytes.asLongBuffer().get(l1);
        for (int i = 0; i < needed; i++) {
            long table = Entry.host(l1[i]);
            if (l1[i] != Entry.data(table) && l1[i] != table
                    || layout.offsetInCluster(table) != 0
                    || table == 0 && l1[i] != 0
                    || table >= storage.sizeBytes() && table != 0) {
                throw new StageException(storage.name() + ": entry " + i
                        + " of its L1 table is bad; qemu-img check -r all may repair it, with loss of data");
            }
        }
        return l1;
    }

    // ---- what operations use

    String name() {
        return storage.name();
    }

    Layout layout() {
        return layout;
    }

    ImageMap map() {
        return map;
    }

    ImageStorage storage() {
        return storage;
    }

    RequestHook inflater() {
        return inflation;
    }

    boolean hasBacking() {
        return backing != null;
    }

    long backingSizeBytes() {
        return backing == null ? 0 : backing.sizeBytes();
    }

    /** Returns whether a cluster, from an offset in it on, reads as zeroes. */
    boolean readsAsZeroes(long entry, long offsetBytes) {
        return Entry.isZero(entry) || Entry.isUnallocated(entry) && offsetBytes >= backingSizeBytes();
    }

    void readBelow(BlockRequest request) {
        if (backing == null) {
            throw new IllegalStateException("nothing is below " + name());
        }
        backing.read(request);
    }

    void complainOfDamage(long offsetBytes) {
        long count = damages.incrementAndGet();
        if (count <= LOGGED_DAMAGES || count % 1000 == 0) {
            LOG.error(
                    "{}: the map entry of offset {} is bad, or one beside it; qemu-img check tells more ({} requests have met it)",
                    name(),
                    offsetBytes,
                    count);
        }
    }

    /** Completes a request after all that was answered so far is stable. */
    void flush(BlockRequest request) {
        flushes.submit(request);
    }

    // ---- requests

    /**
     * Returns what an open image offers as a disk.
     *
     * @param minimumIoBytes what is below takes no smaller requests
     */
    public Geometry geometry(int minimumIoBytes) {
        EnumSet<Feature> features = EnumSet.of(Feature.MULTI_CONNECTION);
        if (checkpoint == null) {
            features.add(Feature.READ_ONLY);
        } else {
            features.addAll(
                    EnumSet.of(Feature.FLUSH, Feature.FUA, Feature.WRITE_ZEROES, Feature.FAST_ZERO, Feature.DISCARD));
        }
        int logical = Math.max(LOGICAL_BLOCK_BYTES, minimumIoBytes);
        return new Geometry(
                sizeBytes(),
                minimumIoBytes,
                logical,
                Math.max(logical, PHYSICAL_BLOCK_BYTES),
                layout.clusterBytes(),
                1,
                features);
    }

    /**
     * Tells what the image has at an offset. Any thread; does not wait.
     *
     * @param offsetBytes less than the disk's size
     */
    public Extent extentAt(long offsetBytes) {
        long cluster = layout.cluster(offsetBytes);
        long last = Math.min(layout.clusters(), cluster - layout.l2Index(cluster) + layout.l2Entries()) - 1;
        Extent.Kind kind = kindOf(map.lookup(cluster));
        while (cluster < last && kindOf(map.lookup(cluster + 1)) == kind) {
            cluster++;
        }
        return new Extent(kind, Math.min(sizeBytes(), layout.startOf(cluster + 1)));
    }

    private static Extent.Kind kindOf(long entry) {
        if (entry == TableCache.MISS) {
            return Extent.Kind.UNKNOWN;
        }
        if (Entry.isZero(entry)) {
            return Extent.Kind.ZERO;
        }
        return Entry.isUnallocated(entry) ? Extent.Kind.BELOW : Extent.Kind.DATA;
    }

    /** Returns the disk's size in bytes. */
    public long sizeBytes() {
        return header.sizeBytes();
    }

    /** Returns what the header says. */
    public Qcow2Header header() {
        return header;
    }

    /** Returns where the image lies. */
    public ImageStorage where() {
        return storage;
    }

    /**
     * Starts a request. Its range is checked: interposers may have moved it, so the tap's check does not count.
     *
     * @return PASS if nothing of a READ is in the image, and the next stage is what is below it; RESPOND if it is answered; STOLEN if it will be
     */
    public Verdict start(BlockRequest request) {
        if (request.op() != BlockOp.FLUSH
                && (request.offsetBytes() < 0 || request.offsetBytes() > sizeBytes() - request.lengthBytes())) {
            return request.respond(BlockStatus.OUT_OF_RANGE);
        }
        switch (request.op()) {
            case FLUSH -> {
                if (checkpoint == null) {
                    return request.respond(BlockStatus.OK);
                }
                flush(request);
                return Verdict.STOLEN;
            }
            case READ -> {
                if (backing != null && backing.isNextStage() && isAllBelow(request)) {
                    return Verdict.PASS;
                }
            }
            default -> {
                if (checkpoint == null) {
                    return request.respond(BlockStatus.READ_ONLY);
                }
                if (storage.isPoisoned()) {
                    return request.respond(BlockStatus.IO_ERROR);
                }
            }
        }
        if (request.op() == BlockOp.WRITE_ZEROES
                && (request.flags() & BlockRequest.FAST_ONLY) != 0
                && !hasWholeCluster(request)) {
            return request.respond(BlockStatus.UNSUPPORTED);
        }
        Operation.start(this, request);
        return Verdict.STOLEN;
    }

    private boolean hasWholeCluster(BlockRequest request) {
        long end = request.offsetBytes() + request.lengthBytes();
        long first = layout.startOf(layout.clustersFor(request.offsetBytes()));
        return end - first >= layout.clusterBytes() || first < end && end == sizeBytes();
    }

    private boolean isAllBelow(BlockRequest request) {
        long last = layout.cluster(request.offsetBytes() + Math.max(1, request.lengthBytes()) - 1);
        for (long cluster = layout.cluster(request.offsetBytes()); cluster <= last; cluster++) {
            if (!Entry.isUnallocated(map.lookup(cluster))) {
                return false;
            }
        }
        return request.offsetBytes() + request.lengthBytes() <= backingSizeBytes();
    }

    // ---- on workers

    private BlockStatus checkpointNow() {
        if (checkpoint == null) {
            return BlockStatus.OK;
        }
        BlockStatus status = checkpoint.run();
        if (checkpoint.hasMoreToSearch()) {
            searchFree();
        }
        return status;
    }

    private void searchFree() {
        if (checkpoint != null && !isSearching.getAndSet(true)) {
            background.execute(this::searchOn);
        }
    }

    /** Returns whether free clusters are being looked for. */
    boolean isSearching() {
        return isSearching.get();
    }

    /** A block of refcounts at a time, so that flushes get their turn. */
    private void searchOn() {
        if (checkpoint != null && checkpoint.searchFree()) {
            background.execute(this::searchOn);
        } else {
            isSearching.set(false);
        }
    }

    /** What the map needs done. */
    private final class Work implements MapWorker {
        @Override
        public void load(int l1Index, long hostOffset) {
            background.execute(() -> {
                try {
                    read(l1Index, hostOffset);
                } catch (RuntimeException | OutOfMemoryError e) {
                    LOG.error("{}: L2 table {} can not be read", name(), l1Index, e);
                    map.notLoaded(l1Index, BlockStatus.IO_ERROR);
                }
            });
        }

        private void read(int l1Index, long hostOffset) {
            ByteBuffer content = ByteBuffer.allocateDirect(layout.clusterBytes());
            BlockStatus status = storage.read(content, hostOffset);
            if (status != BlockStatus.OK) {
                map.notLoaded(l1Index, status);
                return;
            }
            int bad = map.loaded(l1Index, hostOffset, content.clear());
            if (bad > 0) {
                LOG.error("{}: L2 table {} has {} bad entries; qemu-img check tells more", name(), l1Index, bad);
            }
        }

        @Override
        public void checkpoint() {
            background.execute(Qcow2Engine.this::checkpointNow);
        }

        @Override
        public void reclaim(Freed freed) {
            background.execute(() -> {
                ExtentList dropped = freed.dropped;
                for (int i = 0; i < dropped.size(); i++) {
                    storage.discard(layout.startOf(dropped.first(i)), layout.startOf(dropped.length(i)));
                }
                map.reclaimed(freed);
            });
        }
    }

    /**
     * Writes what has changed, and closes the file. Nothing may be in flight any more; not on an event loop.
     *
     * @throws StageException if something could not be written
     */
    @Override
    public void close() throws StageException {
        background.close();
        BlockStatus status = BlockStatus.OK;
        try {
            status = checkpointAtEnd();
        } finally {
            storage.close();
        }
        if (status != BlockStatus.OK) {
            throw new StageException(name() + ": what was written since the last flush may be lost: " + status);
        }
    }

    private BlockStatus checkpointAtEnd() {
        if (checkpoint == null) {
            return BlockStatus.OK;
        }
        BlockStatus status = map.hasChanges() || checkpoint.hasLeftovers() ? checkpoint.run() : BlockStatus.OK;
        LOG.debug("{}: {} bytes of tables and refcounts were written", name(), checkpoint.writtenBytes());
        return status;
    }
}

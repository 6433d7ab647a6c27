package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongPredicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Storage that fails for a while costs the requests that met it, and nothing else. */
@Timeout(120)
class FailingStorageTest {
    private static final int SMALL_CLUSTER_BITS = 9;
    private static final int SMALL_CLUSTER = 1 << SMALL_CLUSTER_BITS;
    /** So much of the disk a table of small clusters stands for. */
    private static final int TABLE_REACH = SMALL_CLUSTER / Long.BYTES * SMALL_CLUSTER;

    private static final int SIZE = 256 << 10;

    private final AtomicLong clock = new AtomicLong();
    private final AtomicLong tags = new AtomicLong();
    private final long seed = System.nanoTime();

    private RecordingStorage storage(int clusterBits, boolean isLate) throws Exception {
        RecordingStorage empty = new RecordingStorage(new SparseBytes(), new AtomicLong(), 0, false);
        Qcow2Format.create(empty, SIZE, clusterBits, null, null);
        empty.close();
        return new RecordingStorage(empty.content(), clock, seed, isLate);
    }

    @ParameterizedTest
    @CsvSource({"9, false", "9, true", "12, true"})
    void afterAFullDiskHasRoomAgainAllIsConsistentAndWhatWasAnsweredIsThere(int clusterBits, boolean isLate)
            throws Exception {
        RecordingStorage storage = storage(clusterBits, isLate);
        checkAfter(storage, clusterBits, number -> number % 400 > 200, false);
    }

    @ParameterizedTest
    @CsvSource({"9, false", "12, true"})
    void afterSingleWritesFailedAllIsConsistentAndWhatWasAnsweredIsThere(int clusterBits, boolean isLate)
            throws Exception {
        RecordingStorage storage = storage(clusterBits, isLate);
        checkAfter(storage, clusterBits, number -> number % 11 == 0, false);
    }

    @Test
    void afterSyncsFailedNoFlushIsLost() throws Exception {
        checkAfter(storage(9, true), 9, number -> false, true);
    }

    private void checkAfter(RecordingStorage storage, int clusterBits, LongPredicate fails, boolean syncsFail)
            throws Exception {
        int granules = SIZE / TaggedHistory.GRANULE_BYTES;
        TaggedHistory history = new TaggedHistory(clock, new long[granules]);
        SparseBytes start = storage.content();
        try (StageHarness harness = StageHarness.openOn(2, new EngineStage(storage, null, 16L << clusterBits, -1))) {
            for (int phase = 0; phase < 4; phase++) {
                boolean isBad = phase % 2 == 1;
                storage.failWrites(isBad ? fails : number -> false);
                storage.failSyncs(isBad && syncsFail);
                work(harness, history, granules, 1 << clusterBits, seed + phase);
            }
            storage.failWrites(number -> false);
            storage.failSyncs(false);
            long begun = clock.incrementAndGet();
            assertThat(harness.client().call(BlockOp.FLUSH, 0, 0).status()).isEqualTo(BlockStatus.OK);
            history.flushed(begun);
        }
        checkCrashes(storage, start, history);
        Qcow2Checker checker = new Qcow2Checker(storage.content(), null).check();
        assertThat(checker.errors).as("seed %d", seed).isEmpty();
        assertThat(checker.leaks).as("seed %d", seed).isEmpty();
        byte[] content = checker.content();
        for (int i = 0; i < granules; i++) {
            long tag = TaggedHistory.tag(content, i);
            assertThat(history.isLegalAfterCrash(i, tag, Long.MAX_VALUE))
                    .as("seed %d: granule %d holds %x%s", seed, i, tag, history.describe(i))
                    .isTrue();
        }
    }

    /** A checkpoint that is tried again has to keep the order of the first one. */
    private void checkCrashes(RecordingStorage storage, SparseBytes start, TaggedHistory history) {
        List<RecordingStorage.Event> events = storage.events();
        CrashImages images = new CrashImages(start, events, seed);
        for (int count = 0; count <= events.size(); count++) {
            images.advanceTo(count);
            long time = count < events.size() ? events.get(count).clock() : Long.MAX_VALUE;
            String where = "seed " + seed + ", event " + count;
            CrashTest.check(where + ", killed", images.killed(), null, history, time);
            CrashTest.check(where + ", power lost", images.powerLost(), null, history, time);
        }
    }

    private void work(StageHarness harness, TaggedHistory history, int granules, int clusterBytes, long itsSeed)
            throws Exception {
        List<CompletableFuture<Void>> running = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            TaggedWorkload workload = new TaggedWorkload(
                    harness.connect(),
                    history,
                    clock,
                    tags,
                    granules,
                    clusterBytes,
                    itsSeed * 10 + i,
                    status -> status == BlockStatus.NO_SPACE || status == BlockStatus.IO_ERROR);
            running.add(CompletableFuture.runAsync(() -> {
                try {
                    workload.run(150);
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            }));
        }
        running.forEach(TestClient::await);
    }

    @Test
    void aFullOverlayInMemoryAnswersNoSpaceAndGoesOnWhenSomethingWasDiscarded() throws Exception {
        RecordingStorage storage = storage(12, true);
        int cluster = 4096;
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 64 << 10, 20 * cluster))) {
            int written = 0;
            while (harness.client()
                            .call(BlockOp.WRITE, 0, (long) written * cluster, cluster, new byte[cluster])
                            .status()
                    == BlockStatus.OK) {
                written++;
            }
            assertThat(written).isBetween(10, 20);
            assertThat(harness.client()
                            .call(BlockOp.WRITE, 0, (long) written * cluster, cluster, new byte[cluster])
                            .status())
                    .isEqualTo(BlockStatus.NO_SPACE);
            harness.client().write(0, new byte[cluster]); // in place

            harness.client().discard(0, 2 * cluster);
            harness.client().write((long) written * cluster, new byte[cluster]);
            harness.client().write((long) (written + 1) * cluster, new byte[cluster]);
            assertThat(harness.client()
                            .call(BlockOp.WRITE, 0, (long) (written + 2) * cluster, cluster, new byte[cluster])
                            .status())
                    .isEqualTo(BlockStatus.NO_SPACE);
        }
        assertThat(new Qcow2Checker(storage.content(), null).check().errors).isEmpty();
    }

    /** Tables of zeroes need no space until they are written: there can be more of them than may be in memory. */
    @Test
    void readsGoOnWhenNoMoreTablesMayBeChangedAndNoneCanBeWritten() throws Exception {
        int tables = 120;
        SparseBytes base = baseOf(tables);
        RecordingStorage storage = overlayOf(tables);
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, base, 16L * SMALL_CLUSTER, -1))) {
            TestClient client = harness.client();
            byte[] data = new byte[SMALL_CLUSTER];
            for (int table = 0; table < 20; table++) {
                data[0] = (byte) table;
                client.write((long) table * TABLE_REACH, data);
            }
            client.flush();
            storage.failWrites(number -> true);

            assertThat(zeroTables(client, 20, tables)).isEqualTo(BlockStatus.NO_SPACE);
            for (int table = 0; table < 20; table++) {
                assertThat(client.read((long) table * TABLE_REACH, SMALL_CLUSTER)[0])
                        .isEqualTo((byte) table);
            }

            storage.failWrites(number -> false);
            assertThat(zeroTables(client, 100, 101)).isEqualTo(BlockStatus.OK);
            client.flush();
        }
        assertThat(new Qcow2Checker(storage.content(), base).check().errors).isEmpty();
    }

    @Test
    void tablesOfZeroesCountForTheLimit() throws Exception {
        int tables = 200;
        SparseBytes base = baseOf(tables);
        RecordingStorage storage = overlayOf(tables);
        long limit = 100L * SMALL_CLUSTER;
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, base, 64 << 10, limit))) {
            assertThat(zeroTables(harness.client(), 0, tables)).isEqualTo(BlockStatus.NO_SPACE);
            harness.client().flush();
            assertThat(storage.sizeBytes()).isLessThan(limit + 8L * SMALL_CLUSTER);
            assertThat(harness.client().read(0, TABLE_REACH)).containsOnly(0);
        }
        assertThat(new Qcow2Checker(storage.content(), base).check().errors).isEmpty();
    }

    /** They only change the map, which no flush would make stable. */
    @Test
    void zeroesAndDiscardsFailWhenNothingCanBecomeStableAnyMore() throws Exception {
        RecordingStorage storage = new RecordingStorage(overlayOf(2).content(), clock, seed, false) {
            @Override
            public boolean isPoisoned() {
                return true;
            }
        };
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, baseOf(2), 64 << 10, -1))) {
            for (BlockOp op : List.of(BlockOp.WRITE, BlockOp.WRITE_ZEROES, BlockOp.DISCARD)) {
                byte[] data = new byte[op == BlockOp.WRITE ? SMALL_CLUSTER : 0];
                assertThat(harness.client().call(op, 0, 0, SMALL_CLUSTER, data).status())
                        .as(op.name())
                        .isEqualTo(BlockStatus.IO_ERROR);
            }
            assertThat(harness.client().read(0, SMALL_CLUSTER)).containsOnly(0);
        }
    }

    /** Returns a disk below that takes so many tables to be covered. */
    private static SparseBytes baseOf(int tables) {
        SparseBytes base = new SparseBytes();
        base.write((long) tables * TABLE_REACH - 1, new byte[] {1}, 0, 1);
        return base;
    }

    private RecordingStorage overlayOf(int tables) throws Exception {
        RecordingStorage empty = new RecordingStorage(new SparseBytes(), new AtomicLong(), 0, false);
        Qcow2Format.create(empty, (long) tables * TABLE_REACH, SMALL_CLUSTER_BITS, "base", "raw");
        return new RecordingStorage(empty.content(), clock, seed, false);
    }

    /** Zeroes all that some tables stand for, one table after another, until that fails. Returns how the last one ended. */
    private static BlockStatus zeroTables(TestClient client, int first, int end) throws Exception {
        BlockStatus last = BlockStatus.OK;
        for (int table = first; table < end && last == BlockStatus.OK; table++) {
            last = client.call(BlockOp.WRITE_ZEROES, 0, (long) table * TABLE_REACH, TABLE_REACH, new byte[0])
                    .status();
        }
        return last;
    }
}

package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongPredicate;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Overlapping operations of several clients on one, two and four event loops, over storage that answers late and in any order: reads on the way and the content at the end are what the operations allow.
 *
 * <p>{@code -Dblocktap.model.seed=N} repeats a run's work; which thread is first stays open.
 */
@Timeout(300)
class Qcow2ModelTest {
    private static final int CLIENTS = 5;
    private static final int OPERATIONS = 250;

    private final AtomicLong clock = new AtomicLong();
    private final AtomicLong tags = new AtomicLong();
    private final long seed = Long.getLong("blocktap.model.seed", System.nanoTime());

    @ParameterizedTest
    @CsvSource({
        // loops, cluster bits, disk, base
        "1, 9, 131072, true",
        "2, 9, 131072, false",
        "4, 9, 131072, true",
        "4, 12, 262144, true",
        "4, 12, 1048576, false",
        "4, 16, 1048576, true"
    })
    void whateverOverlapsEachByteIsFromAnOperationThatMayHaveBeenTheLast(
            int loops, int clusterBits, int size, boolean hasBase) throws Exception {
        model(loops, clusterBits, size, hasBase, number -> false, false);
    }

    @ParameterizedTest
    @CsvSource({
        // loops, cluster bits, disk, base, syncs fail
        "4, 9, 131072, true, false",
        "4, 9, 131072, true, true",
        "2, 12, 524288, true, true"
    })
    void storageThatFailsBetweenLosesNothingThatWasAnswered(
            int loops, int clusterBits, int size, boolean hasBase, boolean syncsFail) throws Exception {
        model(loops, clusterBits, size, hasBase, number -> number % 7 == 0, syncsFail);
    }

    private void model(
            int loops, int clusterBits, int size, boolean hasBase, LongPredicate writeFails, boolean syncsFail)
            throws Exception {
        long[] baseTags = new long[size / TaggedHistory.GRANULE_BYTES];
        SparseBytes base = hasBase ? base(baseTags) : null;
        TaggedHistory history = new TaggedHistory(clock, baseTags);
        RecordingStorage storage = new RecordingStorage(empty(size, clusterBits, hasBase), clock, seed, true);
        try (StageHarness harness =
                StageHarness.openOn(loops, new EngineStage(storage, base, 16L << clusterBits, -1))) {
            for (int phase = 0; phase < 3; phase++) {
                boolean mayFail = phase == 1;
                storage.failWrites(mayFail ? writeFails : number -> false);
                storage.failSyncs(mayFail && syncsFail);
                work(harness, history, baseTags.length, 1 << clusterBits, phase);
                storage.failWrites(number -> false);
                storage.failSyncs(false);
                long begun = clock.incrementAndGet();
                harness.client().flush(); // succeeds at once, whatever failed before
                history.flushed(begun);
            }
            checkContent(harness.client().read(0, size), history);
        } catch (Throwable t) {
            throw new AssertionError("seed " + seed + ": " + t.getMessage(), t);
        }
        checkFile(storage.content(), base, history);
    }

    private void checkFile(SparseBytes file, @Nullable SparseBytes base, TaggedHistory history) {
        Qcow2Checker checker = new Qcow2Checker(file, base).check();
        assertThat(checker.errors).as("seed %d", seed).isEmpty();
        assertThat(checker.leaks).as("seed %d", seed).isEmpty();
        checkContent(checker.content(), history);
    }

    private void checkContent(byte[] content, TaggedHistory history) {
        for (int i = 0; i < content.length / TaggedHistory.GRANULE_BYTES; i++) {
            long tag = TaggedHistory.tag(content, i);
            if (!history.isLegalAfterCrash(i, tag, Long.MAX_VALUE)) {
                throw new AssertionError(
                        "seed " + seed + ": granule " + i + " holds " + Long.toHexString(tag) + history.describe(i));
            }
        }
    }

    private void work(StageHarness harness, TaggedHistory history, int granules, int clusterBytes, int phase)
            throws Exception {
        // A thread for each client: the common pool of a small machine would have them work one after the other.
        ExecutorService threads = Executors.newFixedThreadPool(CLIENTS);
        try {
            List<CompletableFuture<Void>> running = new ArrayList<>();
            for (int i = 0; i < CLIENTS; i++) {
                TaggedWorkload workload = new TaggedWorkload(
                        harness.connect(),
                        history,
                        clock,
                        tags,
                        granules,
                        clusterBytes,
                        seed + 100 * phase + i,
                        status -> phase == 1 && (status == BlockStatus.NO_SPACE || status == BlockStatus.IO_ERROR));
                running.add(CompletableFuture.runAsync(() -> run(workload), threads));
            }
            running.forEach(TestClient::await);
        } finally {
            threads.shutdown();
        }
    }

    private static void run(TaggedWorkload workload) {
        try {
            workload.run(OPERATIONS);
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private static SparseBytes base(long[] tags) {
        SparseBytes base = new SparseBytes();
        for (int i = 0; i < tags.length; i++) {
            tags[i] = 0xba5e_0000_0000L + i;
            byte[] bytes = TaggedHistory.bytes(1, tags[i]);
            base.write((long) i * TaggedHistory.GRANULE_BYTES, bytes, 0, bytes.length);
        }
        return base;
    }

    private static SparseBytes empty(int size, int clusterBits, boolean hasBase) throws Exception {
        try (RecordingStorage storage = new RecordingStorage(new SparseBytes(), new AtomicLong(), 0, false)) {
            Qcow2Format.create(storage, size, clusterBits, hasBase ? "base.img" : null, hasBase ? "raw" : null);
            return storage.content();
        }
    }
}

package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** As {@link CrashTest}, on images with internal snapshots and compressed clusters. {@code -Dblocktap.crash.seed=N} repeats a run's work. */
@Timeout(600)
class SnapshotCrashTest {
    private static final int ROUNDS = Integer.getInteger("blocktap.crash.rounds", 1);

    @TempDir
    private Path directory;

    private final AtomicLong clock = new AtomicLong();
    private final AtomicLong tags = new AtomicLong();
    /** What each of the snapshots has to have. */
    private final List<byte[]> kept = new ArrayList<>();

    @ParameterizedTest
    @CsvSource({
        // cluster bits, disk, refcount bits, compressed, clients, late
        "9, 131072, 16, false, 2, true",
        "9, 131072, 16, true, 2, false",
        "9, 99840, 2, false, 1, true",
        "9, 131072, 64, true, 2, true",
        "12, 524288, 16, true, 2, true",
        "12, 524288, 8, false, 3, true",
        "16, 1048576, 32, true, 3, true"
    })
    void snapshotsStayAsTheyAreWhereverItEnds(
            int bits, int size, int refcountBits, boolean isCompressed, int clients, boolean isLate) throws Exception {
        QemuImg.require();
        for (int round = 0; round < ROUNDS; round++) {
            long seed = Long.getLong("blocktap.crash.seed", System.nanoTime()) + round;
            try {
                once(bits, size, refcountBits, isCompressed, clients, isLate, seed);
            } catch (Throwable t) {
                throw new AssertionError("seed " + seed + ": " + t.getMessage(), t);
            }
        }
    }

    private void once(
            int bits, int size, int refcountBits, boolean isCompressed, int clients, boolean isLate, long seed)
            throws Exception {
        long[] startTags = new long[size / TaggedHistory.GRANULE_BYTES];
        byte[] first = fill(startTags, size, new Random(seed), 1 << bits, 0xba5e_0000_0000L);
        SparseBytes start = withSnapshots(first, startTags, bits, refcountBits, isCompressed);
        SharingChecker checker = new SharingChecker(start);
        assertThat(checker.errors).isEmpty();
        kept.clear();
        for (int i = 0; i < checker.snapshots(); i++) {
            kept.add(checker.content(i));
        }
        TaggedHistory history = new TaggedHistory(clock, startTags);
        RecordingStorage storage = new RecordingStorage(start.copy(), clock, seed, isLate);
        work(storage, history, startTags.length, bits, clients, seed);
        checkEverywhere(start, storage.events(), history, seed);
        checkAtEnd(storage.content());
    }

    private SparseBytes withSnapshots(byte[] first, long[] startTags, int bits, int refcountBits, boolean isCompressed)
            throws Exception {
        Path raw = directory.resolve("start.img");
        Files.write(raw, first);
        Path file = directory.resolve("start.qcow2");
        Files.deleteIfExists(file);
        List<String> convert = new ArrayList<>(List.of("convert", "-f", "raw", "-O", "qcow2"));
        if (isCompressed) {
            convert.add("-c");
        }
        convert.addAll(List.of(
                "-o",
                "cluster_size=" + (1 << bits) + ",refcount_bits=" + refcountBits,
                raw.toString(),
                file.toString()));
        QemuImg.run(convert.toArray(new String[0]));
        QemuImg.run("snapshot", "-c", "one", file.toString());
        if (refcountBits > 2) {
            // Between two snapshots something is written: some is shared by three, some by two.
            QemuImg.io("write -P 0 0 4k", "write -P 0 8k 8k", file);
            Arrays.fill(startTags, 0, 32, 0);
            Arrays.fill(startTags, 64, 128, 0);
            QemuImg.run("snapshot", "-c", "two", file.toString());
        }
        byte[] bytes = Files.readAllBytes(file);
        SparseBytes start = new SparseBytes();
        start.write(0, bytes, 0, bytes.length);
        return start;
    }

    private void work(RecordingStorage storage, TaggedHistory history, int granules, int bits, int clients, long seed)
            throws Exception {
        try (StageHarness harness =
                StageHarness.openOn(Math.min(clients, 2), new EngineStage(storage, null, 16L << bits, -1))) {
            for (int phase = 0; phase < 3; phase++) {
                List<CompletableFuture<Void>> others = new ArrayList<>();
                for (int i = 0; i < clients; i++) {
                    TestClient client = i == 0 ? harness.client() : harness.connect();
                    TaggedWorkload workload = new TaggedWorkload(
                            client, history, clock, tags, granules, 1 << bits, seed + 100 * phase + i, s -> false);
                    others.add(CompletableFuture.runAsync(() -> {
                        try {
                            workload.run(20);
                        } catch (Exception e) {
                            throw new IllegalStateException(e);
                        }
                    }));
                }
                others.forEach(TestClient::await);
                long begun = clock.incrementAndGet();
                harness.client().flush();
                history.flushed(begun);
            }
        }
    }

    private void checkEverywhere(
            SparseBytes start, List<RecordingStorage.Event> events, TaggedHistory history, long seed) throws Exception {
        CrashImages images = new CrashImages(start, events, seed);
        for (int count = 0; count <= events.size(); count++) {
            images.advanceTo(count);
            long time = count < events.size() ? events.get(count).clock() : Long.MAX_VALUE;
            String where = "event " + count + " of " + events.size();
            check(where + ", killed", images.killed(), history, time);
            check(where + ", killed in a write", images.killedInNext(), history, time);
            SparseBytes lost = images.powerLost();
            check(where + ", power lost", lost, history, time);
            if (count % Math.max(1, events.size() / 5) == 0) {
                goOn(lost, seed);
            }
        }
        System.out.printf("%d crash points: all good (seed %d)%n", 3 * (events.size() + 1), seed);
    }

    private void checkAtEnd(SparseBytes image) throws Exception {
        SharingChecker checker = new SharingChecker(image);
        assertThat(checker.errors).isEmpty();
        assertThat(checker.leaks).isEmpty();
        Path file = directory.resolve("end.qcow2");
        Files.write(file, image.read(0, (int) image.size()));
        QemuImg.run("check", "-q", file.toString());
        for (int i = kept.size() - 1; i >= 0; i--) {
            Path raw = directory.resolve("snapshot.img");
            Files.write(raw, kept.get(i));
            QemuImg.run("snapshot", "-a", i == 0 ? "one" : "two", file.toString());
            QemuImg.run("compare", "-q", "-f", "qcow2", "-F", "raw", file.toString(), raw.toString());
        }
    }

    /** An image after a crash can be opened, read, written and flushed. */
    private void goOn(SparseBytes image, long seed) throws Exception {
        byte[] before = new SharingChecker(image).content(-1);
        RecordingStorage storage = new RecordingStorage(image.copy(), new AtomicLong(), seed, false);
        byte[] written = TaggedHistory.bytes(300, 77);
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 64 << 10, -1))) {
            assertThat(harness.client().read(0, before.length)).isEqualTo(before);
            harness.client().write(50_001, written);
            harness.client().flush();
        }
        SharingChecker checker = new SharingChecker(storage.content());
        assertThat(checker.errors).isEmpty();
        System.arraycopy(written, 0, before, 50_001, written.length);
        assertThat(checker.content(-1)).isEqualTo(before);
        for (int i = 0; i < kept.size(); i++) {
            assertThat(checker.content(i)).isEqualTo(kept.get(i));
        }
    }

    private void check(String where, SparseBytes image, TaggedHistory history, long time) {
        SharingChecker checker = new SharingChecker(image);
        assertThat(checker.errors).as(where).isEmpty();
        for (int i = 0; i < kept.size(); i++) {
            assertThat(Arrays.equals(checker.content(i), kept.get(i)))
                    .as(where + ", snapshot " + i)
                    .isTrue();
        }
        byte[] content = checker.content(-1);
        assertThat(checker.errors).as(where).isEmpty();
        for (int i = 0; i < content.length / TaggedHistory.GRANULE_BYTES; i++) {
            long tag = TaggedHistory.tag(content, i);
            if (!history.isLegalAfterCrash(i, tag, time)) {
                throw new AssertionError(where + " at " + time + ": granule " + i + " holds " + Long.toHexString(tag)
                        + history.describe(i));
            }
        }
    }

    private static byte[] fill(long[] tags, int size, Random random, int clusterBytes, long first) {
        byte[] all = new byte[size];
        int perCluster = clusterBytes / TaggedHistory.GRANULE_BYTES;
        for (int i = 0; i < tags.length; i++) {
            if (i % perCluster == 0 && random.nextInt(4) == 0) {
                i += perCluster - 1;
                continue;
            }
            tags[i] = first + i;
            System.arraycopy(
                    TaggedHistory.bytes(1, tags[i]),
                    0,
                    all,
                    i * TaggedHistory.GRANULE_BYTES,
                    TaggedHistory.GRANULE_BYTES);
        }
        return all;
    }
}

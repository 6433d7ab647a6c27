package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Records what the engine does to a file under random work of several clients, and looks at what is left of it when it ends anywhere: killed, or with any part of what was not synced lost.
 *
 * <p>{@code -Dblocktap.crash.seed=N} repeats a run's work, {@code -Dblocktap.crash.rounds=N} does more of it.
 */
@Timeout(600)
class CrashTest {
    private static final int ROUNDS = Integer.getInteger("blocktap.crash.rounds", 1);
    private static final int QEMU_SAMPLES = 6;
    private static final Path QEMU_IMG = Path.of("/usr/bin/qemu-img");

    @TempDir
    private Path directory;

    private final AtomicLong clock = new AtomicLong();
    private final AtomicLong tags = new AtomicLong();
    /** What the images' snapshot has to have, if they have one. */
    private byte @Nullable [] snapshot;

    @ParameterizedTest
    @CsvSource({
        // cluster bits, disk, base, clients, late answers
        "9, 262144, true, 1, false",
        "9, 262144, false, 3, true",
        "12, 524288, true, 3, true",
        "12, 1048576, false, 1, false",
        "16, 2097152, true, 3, true",
        "16, 2097152, false, 2, true"
    })
    void whereverItEndsTheImageIsGoodAndHasAllThatWasFlushed(
            int clusterBits, int size, boolean hasBase, int clients, boolean isLate) throws Exception {
        for (int round = 0; round < ROUNDS; round++) {
            long seed = Long.getLong("blocktap.crash.seed", System.nanoTime()) + round;
            try {
                once(clusterBits, size, hasBase, clients, isLate, seed);
            } catch (Throwable t) {
                throw new AssertionError("seed " + seed + ": " + t.getMessage(), t);
            }
        }
    }

    /** Tables and clusters of a snapshot have two users: none of them changes, and none is forgotten. */
    @ParameterizedTest
    @CsvSource({"9, 262144, 3, true", "12, 524288, 1, false"})
    void whereverItEndsASnapshotIsWhatItWas(int clusterBits, int size, int clients, boolean isLate) throws Exception {
        Assumptions.assumeTrue(Files.isExecutable(QEMU_IMG), "no qemu-img, which makes the snapshot");
        for (int round = 0; round < ROUNDS; round++) {
            long seed = Long.getLong("blocktap.crash.seed", System.nanoTime()) + round;
            try {
                SparseBytes start = withSnapshot(clusterBits, size, seed);
                byte[] content = new Qcow2Checker(start, null).content();
                long[] startTags = new long[size / TaggedHistory.GRANULE_BYTES];
                for (int i = 0; i < startTags.length; i++) {
                    startTags[i] = TaggedHistory.tag(content, i);
                }
                snapshot = content;
                workAndCheck(start, null, startTags, clusterBits, clients, isLate, seed);
            } catch (Throwable t) {
                throw new AssertionError("seed " + seed + ": " + t.getMessage(), t);
            }
        }
    }

    private SparseBytes withSnapshot(int clusterBits, int size, long seed) throws Exception {
        RecordingStorage storage = new RecordingStorage(empty(size, clusterBits, false), clock, seed, false);
        int granules = size / TaggedHistory.GRANULE_BYTES;
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 16L << clusterBits, -1))) {
            work(harness, new TaggedHistory(clock, new long[granules]), granules, 1 << clusterBits, 1, seed - 1);
        }
        Path file = directory.resolve("start.qcow2");
        SparseBytes image = storage.content();
        Files.write(file, image.read(0, (int) image.size()));
        assertThat(qemuImg("snapshot", "-c", "s", file.toString())).isZero();
        byte[] bytes = Files.readAllBytes(file);
        SparseBytes start = new SparseBytes();
        start.write(0, bytes, 0, bytes.length);
        Qcow2Checker checker = new Qcow2Checker(start, null).check();
        assertThat(checker.errors).isEmpty();
        assertThat(checker.leaks).isEmpty();
        return start;
    }

    private void once(int clusterBits, int size, boolean hasBase, int clients, boolean isLate, long seed)
            throws Exception {
        int granules = size / TaggedHistory.GRANULE_BYTES;
        long[] baseTags = new long[granules];
        SparseBytes base = hasBase ? base(baseTags) : null;
        workAndCheck(empty(size, clusterBits, hasBase), base, baseTags, clusterBits, clients, isLate, seed);
    }

    private void workAndCheck(
            SparseBytes empty,
            @Nullable SparseBytes base,
            long[] startTags,
            int clusterBits,
            int clients,
            boolean isLate,
            long seed)
            throws Exception {
        int granules = startTags.length;
        TaggedHistory history = new TaggedHistory(clock, startTags);
        RecordingStorage storage = new RecordingStorage(empty.copy(), clock, seed, isLate);
        List<Long> quiet = new ArrayList<>();
        try (StageHarness harness =
                StageHarness.openOn(Math.min(clients, 2), new EngineStage(storage, base, 16L << clusterBits, -1))) {
            for (int phase = 0; phase < 3; phase++) {
                work(harness, history, granules, 1 << clusterBits, clients, seed + 100 * phase);
                long begun = clock.incrementAndGet();
                harness.client().flush();
                history.flushed(begun);
                quiet.add(clock.incrementAndGet());
            }
        }
        checkAll(storage, empty, base, history, quiet, seed);
    }

    private void work(
            StageHarness harness, TaggedHistory history, int granules, int clusterBytes, int clients, long seed)
            throws Exception {
        List<CompletableFuture<Void>> others = new ArrayList<>();
        for (int i = 0; i < clients; i++) {
            TestClient client = i == 0 ? harness.client() : harness.connect();
            TaggedWorkload workload =
                    new TaggedWorkload(client, history, clock, tags, granules, clusterBytes, seed + i, status -> false);
            others.add(CompletableFuture.runAsync(() -> {
                try {
                    workload.run(25);
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
            }));
        }
        others.forEach(TestClient::await);
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

    private SparseBytes empty(int size, int clusterBits, boolean hasBase) throws Exception {
        try (RecordingStorage storage = new RecordingStorage(new SparseBytes(), new AtomicLong(), 0, false)) {
            Qcow2Format.create(storage, size, clusterBits, hasBase ? "base.img" : null, hasBase ? "raw" : null);
            return storage.content();
        }
    }

    // ---- what is left

    private void checkAll(
            RecordingStorage storage,
            SparseBytes empty,
            @Nullable SparseBytes base,
            TaggedHistory history,
            List<Long> quiet,
            long seed)
            throws Exception {
        List<RecordingStorage.Event> events = storage.events();
        CrashImages images = new CrashImages(empty, events, seed);
        int points = 0;
        for (int count = 0; count <= events.size(); count++) {
            images.advanceTo(count);
            long time = count < events.size() ? events.get(count).clock() : Long.MAX_VALUE;
            String where = "event " + count + " of " + events.size();
            check(where + ", killed", images.killed(), base, history, time);
            check(where + ", killed in a write", images.killedInNext(), base, history, time);
            check(where + ", power lost", images.powerLost(), base, history, time);
            SparseBytes lost = images.powerLost();
            check(where + ", power lost again", lost, base, history, time);
            points += 4;
            if (snapshot != null) {
                assertThat(new Qcow2Checker(lost, base).snapshot()).as(where).isEqualTo(snapshot);
            }
            if (count % (events.size() / QEMU_SAMPLES) == 0) {
                checkByQemu(lost, base);
                goOn(lost, base, seed);
            }
            int before = count;
            if (quiet.stream().anyMatch(at -> isBetween(at, events, before))) {
                assertThat(new Qcow2Checker(images.killed(), base).check().leaks)
                        .as(where + ", after a flush")
                        .isEmpty();
            }
        }
        System.out.printf("%d crash points of %d events: all good (seed %d)%n", points, events.size(), seed);
    }

    /** Returns whether a moment, at which nothing was under way, is that of the image after so many events. */
    private static boolean isBetween(long time, List<RecordingStorage.Event> events, int count) {
        return count > 0
                && events.get(count - 1).clock() < time
                && (count == events.size() || events.get(count).clock() > time);
    }

    static void check(String where, SparseBytes image, @Nullable SparseBytes base, TaggedHistory history, long time) {
        Qcow2Checker checker = new Qcow2Checker(image, base).check();
        assertThat(checker.errors).as(where).isEmpty();
        byte[] content = checker.content();
        for (int i = 0; i < content.length / TaggedHistory.GRANULE_BYTES; i++) {
            long tag = TaggedHistory.tag(content, i);
            if (!history.isLegalAfterCrash(i, tag, time)) {
                throw new AssertionError(where + " at " + time + ": granule " + i + " holds " + Long.toHexString(tag)
                        + history.describe(i));
            }
        }
    }

    /** An image after a crash can be opened, read, written and flushed. */
    private void goOn(SparseBytes image, @Nullable SparseBytes base, long seed) throws Exception {
        byte[] before = new Qcow2Checker(image, base).content();
        RecordingStorage storage = new RecordingStorage(image.copy(), clock, seed, false);
        byte[] written = TaggedHistory.bytes(300, 77);
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, base, 64 << 10, -1))) {
            assertThat(harness.client().read(0, before.length)).isEqualTo(before);
            harness.client().write(1000 * 128, written);
            assertThat(harness.client().call(BlockOp.DISCARD, 0, 100_000).status())
                    .isEqualTo(BlockStatus.OK);
            harness.client().flush();
        }
        Qcow2Checker checker = new Qcow2Checker(storage.content(), base).check();
        assertThat(checker.errors).isEmpty();
        System.arraycopy(written, 0, before, 1000 * 128, written.length);
        byte[] after = checker.content();
        assertThat(java.util.Arrays.copyOfRange(after, 100_000, after.length))
                .isEqualTo(java.util.Arrays.copyOfRange(before, 100_000, before.length));
    }

    // ---- what QEMU says

    private void checkByQemu(SparseBytes image, @Nullable SparseBytes base) throws Exception {
        if (!Files.isExecutable(QEMU_IMG)) {
            return;
        }
        Path file = directory.resolve("crash.qcow2");
        Files.write(file, image.read(0, (int) image.size()));
        if (base != null) {
            Files.write(directory.resolve("base.img"), base.read(0, (int) base.size()));
        }
        int checked = qemuImg("check", "-q", file.toString());
        assertThat(checked).as("qemu-img check: 0 is clean, 3 are leaks").isIn(0, 3);
        Qcow2Checker ours = new Qcow2Checker(image, base).check();
        // QEMU does not mind a count for what lies behind the end of the file.
        List<String> seenByQemu = ours.leaks.stream()
                .filter(leak -> Long.parseLong(leak.split(" ")[1]) < ours.clustersInFile())
                .toList();
        assertThat(seenByQemu.isEmpty()).as("leaks: %s", ours.leaks).isEqualTo(checked == 0);
        Path raw = directory.resolve("expected.img");
        Files.write(raw, ours.content());
        assertThat(qemuImg("compare", "-q", "-f", "qcow2", "-F", "raw", file.toString(), raw.toString()))
                .isZero();
        if (checked == 3) {
            assertThat(qemuImg("check", "-q", "-r", "leaks", file.toString())).isZero();
        }
        Files.write(file, new byte[0], StandardOpenOption.TRUNCATE_EXISTING);
    }

    private static int qemuImg(String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("qemu-img"));
        command.addAll(List.of(arguments));
        return new ProcessBuilder(command)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start()
                .waitFor();
    }
}

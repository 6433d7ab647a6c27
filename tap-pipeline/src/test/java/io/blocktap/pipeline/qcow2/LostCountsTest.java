package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.testkit.StageHarness;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** An image whose refcounts were lost in part, which qemu-img check -r all repairs, is not made worse: neither by being opened, nor by being written. */
@Timeout(60)
class LostCountsTest {
    private static final int CLUSTER = 4096;
    private static final int CLUSTERS = 64;
    private static final int LOST = 20;
    private static final int FIRST_LOST = 20;

    @TempDir
    private Path directory;

    private final byte[] data = bytes(7);
    private final byte[] others = bytes(8);

    private static byte[] bytes(long seed) {
        byte[] bytes = new byte[CLUSTERS * CLUSTER];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    /** Returns an image of which the first clusters have the data. */
    private SparseBytes image(int diskClusters) throws Exception {
        RecordingStorage empty = new RecordingStorage(new SparseBytes(), new AtomicLong(), 1, false);
        Qcow2Format.create(empty, (long) diskClusters * CLUSTER, 12, null, null);
        RecordingStorage good = new RecordingStorage(empty.content(), new AtomicLong(), 1, false);
        try (StageHarness harness = StageHarness.open(new EngineStage(good, null, 64 << 10, -1))) {
            harness.client().write(0, data);
            harness.client().flush();
        }
        return good.content();
    }

    private static long block(SparseBytes image) {
        long table = ByteBuffer.wrap(image.read(48, Long.BYTES)).getLong();
        return ByteBuffer.wrap(image.read(table, Long.BYTES)).getLong();
    }

    private static void loseCounts(SparseBytes image) {
        image.write(block(image) + Short.BYTES * FIRST_LOST, new byte[Short.BYTES * LOST], 0, Short.BYTES * LOST);
    }

    private static void awaitSearch(EngineStage stage) {
        Awaitility.await().until(() -> !stage.isSearching());
    }

    /** Writes behind the data, with flushes: what was found free would be there after the first of them. */
    private void writePieces(StageHarness harness, byte[] bytes) throws Exception {
        for (int at = 0; at < bytes.length; at += CLUSTER) {
            harness.client().write(data.length + at, Arrays.copyOfRange(bytes, at, at + CLUSTER));
            harness.client().flush();
        }
    }

    @Test
    void openingTakesNothingAwayThatATableRefersTo() throws Exception {
        SparseBytes image = image(CLUSTERS);
        loseCounts(image);

        RecordingStorage damaged = new RecordingStorage(image, new AtomicLong(), 1, false);
        EngineStage stage = new EngineStage(damaged, null, 64 << 10, -1);
        try (StageHarness harness = StageHarness.open(stage)) {
            awaitSearch(stage);
            assertThat(harness.client().read(0, data.length)).isEqualTo(data);
        }

        assertThat(damaged.events()).allMatch(event -> event.kind() == RecordingStorage.Kind.SYNC);
        assertThat(damaged.content().read(0, (int) image.size())).isEqualTo(image.read(0, (int) image.size()));
    }

    @Test
    void newDataAreNotPutOverWhatATableRefersTo() throws Exception {
        QemuImg.require();
        SparseBytes image = image(2 * CLUSTERS);
        loseCounts(image);

        RecordingStorage damaged = new RecordingStorage(image, new AtomicLong(), 1, false);
        EngineStage stage = new EngineStage(damaged, null, 64 << 10, -1);
        try (StageHarness harness = StageHarness.open(stage)) {
            awaitSearch(stage);
            writePieces(harness, others);
        }

        byte[] content = repaired(damaged.content(), 2 * CLUSTERS);
        assertThat(content).startsWith(data).endsWith(others);
    }

    /** Only a snapshot has what is not counted: the disk's own tables do not tell of it. */
    @Test
    void newDataAreNotPutOverWhatASnapshotHas() throws Exception {
        QemuImg.require();
        Path file = directory.resolve("snapshot.qcow2");
        write(file, image(2 * CLUSTERS));
        QemuImg.run("snapshot", "-c", "one", file.toString());
        SparseBytes image = read(file);
        RecordingStorage storage = new RecordingStorage(image, new AtomicLong(), 1, false);
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 64 << 10, -1))) {
            harness.client().write(0, new byte[data.length]); // now they are the snapshot's alone
            harness.client().flush();
        }
        SparseBytes damaged = storage.content();
        loseCounts(damaged);

        RecordingStorage again = new RecordingStorage(damaged, new AtomicLong(), 1, false);
        EngineStage stage = new EngineStage(again, null, 64 << 10, -1);
        try (StageHarness harness = StageHarness.open(stage)) {
            awaitSearch(stage);
            writePieces(harness, others);
        }

        Path result = directory.resolve("result.qcow2");
        write(result, again.content());
        QemuImg.run("convert", "-l", "one", "-O", "raw", result.toString(), file + ".raw");
        assertThat(Files.readAllBytes(Path.of(file + ".raw"))).startsWith(data);
    }

    /** What nobody refers to is used, after all was looked at, and nothing of it is given back to the file system. */
    @Test
    void whatIsReallyFreeIsUsedAgain() throws Exception {
        SparseBytes image = image(2 * CLUSTERS);
        RecordingStorage storage = new RecordingStorage(image, new AtomicLong(), 1, false);
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 64 << 10, -1))) {
            harness.client().discard(0, data.length / 2);
            harness.client().flush();
        }
        long size = storage.content().size();

        RecordingStorage again = new RecordingStorage(storage.content(), new AtomicLong(), 1, false);
        EngineStage stage = new EngineStage(again, null, 64 << 10, -1);
        try (StageHarness harness = StageHarness.open(stage)) {
            awaitSearch(stage);
            harness.client().write(data.length, Arrays.copyOf(data, data.length / 2));
            harness.client().flush();
        }

        assertThat(again.content().size()).isEqualTo(size);
        assertThat(again.events()).noneMatch(event -> event.kind() == RecordingStorage.Kind.DISCARD);
        byte[] expected = Arrays.copyOf(data, 2 * data.length);
        Arrays.fill(expected, 0, data.length / 2, (byte) 0);
        System.arraycopy(data, 0, expected, data.length, data.length / 2);
        Qcow2Checker checker = new Qcow2Checker(again.content(), null).check();
        assertThat(checker.content()).isEqualTo(expected);
        assertThat(checker.errors).isEmpty();
        assertThat(checker.leaks).isEmpty();
    }

    private byte[] repaired(SparseBytes image, int diskClusters) throws Exception {
        Path file = directory.resolve("repaired.qcow2");
        write(file, image);
        QemuImg.run("check", "-q", "-r", "all", file.toString());
        Path raw = directory.resolve("repaired.img");
        QemuImg.run("convert", "-O", "raw", file.toString(), raw.toString());
        byte[] content = Files.readAllBytes(raw);
        assertThat(content).hasSize(diskClusters * CLUSTER);
        return content;
    }

    private static void write(Path file, SparseBytes image) throws Exception {
        Files.write(file, image.read(0, (int) image.size()));
    }

    private static SparseBytes read(Path file) throws Exception {
        byte[] bytes = Files.readAllBytes(file);
        SparseBytes image = new SparseBytes();
        image.write(0, bytes, 0, bytes.length);
        return image;
    }
}

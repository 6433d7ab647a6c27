package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.testkit.Reply;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** An image whose tables hold anything is refused, or its requests are answered: nothing hangs, and nothing is thrown. */
@Timeout(120)
class HostileImageTest {
    private static final int SIZE = 256 << 10;
    private static final int IMAGES = 30;

    @TempDir
    private Path directory;

    @ParameterizedTest
    @ValueSource(ints = {9, 12})
    void imagesWithRandomBytesInTheirTablesAreRefusedOrAnswered(int clusterBits) throws Exception {
        SparseBytes good = written(clusterBits);
        int refused = 0;
        for (int i = 0; i < IMAGES; i++) {
            long seed = 1000L * clusterBits + i;
            SparseBytes bad = good.copy();
            poke(bad, new Random(seed), 1 << clusterBits);
            RecordingStorage storage = new RecordingStorage(bad, new AtomicLong(), seed, false);
            try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 64 << 10, -1))) {
                use(harness, new Random(seed));
            } catch (StageException e) {
                assertThat(e.getMessage()).as("seed %d", seed).contains("recorded.qcow2");
                refused++;
            } catch (Throwable t) {
                throw new AssertionError("seed " + seed, t);
            }
        }
        assertThat(refused).as("refused of %d", IMAGES).isBetween(1, IMAGES - 1);
    }

    /** Else the start would take hours: a table may name the same block a million times. */
    @Test
    void aRefcountTableThatNamesABlockTwiceIsRefused() throws Exception {
        SparseBytes image = written(9);
        long table = longAt(image, 48);
        setLong(image, table + 8, longAt(image, table));

        assertThat(refusal(image)).contains("its tables can not be read");
    }

    @Test
    void aRefcountBlockBehindTheEndOfTheFileIsRefused() throws Exception {
        SparseBytes image = written(9);
        setLong(image, longAt(image, 48) + 8, image.size() + 511 & -512);

        assertThat(refusal(image)).contains("its tables can not be read");
    }

    /** What a killed program leaves behind the end is left alone: new clusters come after it. */
    @Test
    void clustersThatAreCountedBehindTheEndOfTheFileAreNotTaken() throws Exception {
        SparseBytes image = written(9);
        long counts = (image.size() + 511) / 512;
        long behind = counts + 3;
        long block = longAt(image, longAt(image, 48) + behind / 256 * 8);
        assertThat(block).isNotZero();
        image.write(block + behind % 256 * 2, new byte[] {0, 1}, 0, 2);
        RecordingStorage storage = new RecordingStorage(image, new AtomicLong(), 1, false);
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 64 << 10, -1))) {
            for (int cluster = 1; cluster < 30; cluster += 3) {
                harness.client().write(cluster * 512L, TaggedHistory.bytes(4, cluster));
            }
            harness.client().flush();
        }
        Qcow2Checker checker = new Qcow2Checker(storage.content(), null).check();
        assertThat(checker.errors).isEmpty();
        assertThat(checker.leaks).hasSize(1);
    }

    /** Free clusters would be those with the disk's data. */
    @Test
    void anImageWhoseCountsAreGoneIsRefused() throws Exception {
        SparseBytes emptied = written(9);
        emptied.write(longAt(emptied, longAt(emptied, 48)), new byte[512], 0, 512);
        assertThat(refusal(emptied)).contains("cluster 0 is free, which has its header", "qemu-img check -r all");

        SparseBytes forgotten = written(9);
        setLong(forgotten, longAt(forgotten, 48), 0);
        assertThat(refusal(forgotten)).contains("cluster 0 is free");
    }

    /** The data's counts are gone with the table's, so none of what is said to be free is believed. */
    @Test
    void nothingIsTakenAsFreeWhereATableIsSaidToBe() throws Exception {
        SparseBytes image = written(9);
        byte[] before = new Qcow2Checker(image, null).content();
        long l2 = Entry.host(longAt(image, longAt(image, 40)));
        long block = longAt(image, longAt(image, 48));
        for (long cluster = l2 / 512; cluster < Math.min(256, image.size() / 512); cluster++) {
            image.write(block + cluster * 2, new byte[2], 0, 2);
        }
        RecordingStorage storage = new RecordingStorage(image, new AtomicLong(), 1, false);
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 64 << 10, -1))) {
            for (int at = 512; at < SIZE; at += 3 * 512) {
                byte[] data = TaggedHistory.bytes(4, at);
                harness.client().call(BlockOp.WRITE, 0, at, data.length, data);
                harness.client().call(BlockOp.FLUSH, 0, 0);
            }
            for (int at = 0; at < SIZE; at += 3 * 512) {
                assertThat(harness.client().read(at, 512))
                        .isEqualTo(java.util.Arrays.copyOfRange(before, at, at + 512));
            }
            TestClient.await(harness.drain());
        }
    }

    /** The guest would write the map, with what it takes for its data. */
    @Test
    void aTableThatIsSaidToLieInAnotherOneIsRefused() throws Exception {
        SparseBytes good = written(9);
        long l1 = longAt(good, 40);
        long table = longAt(good, 48);
        long block = longAt(good, table);
        for (long other : List.of(l1, table, block, longAt(good, l1 + 8) & ~Entry.COPIED)) {
            SparseBytes image = good.copy();
            setLong(image, l1, Entry.data(other));
            assertThat(refusal(image)).contains("in cluster " + other / 512 + ":", "qemu-img check -r all");
        }

        SparseBytes blockInL1 = good.copy();
        setLong(blockInL1, table + 8, l1);
        assertThat(refusal(blockInL1)).contains("in cluster " + l1 / 512 + ":");
    }

    @Test
    void aGuestDoesNotGetAtTheTablesOfSnapshots() throws Exception {
        QemuImg.require();
        Path file = directory.resolve("snapshot.qcow2");
        SparseBytes image = written(12);
        Files.write(file, image.read(0, (int) image.size()));
        QemuImg.run("snapshot", "-c", "one", file.toString());
        byte[] bytes = Files.readAllBytes(file);
        image = new SparseBytes();
        image.write(0, bytes, 0, bytes.length);
        RecordingStorage storage = new RecordingStorage(image, new AtomicLong(), 1, false);
        SnapshotTable table = SnapshotTable.read(storage, Qcow2Header.read(storage));
        long l1 = table.snapshots().get(0).l1Offset();
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 64 << 10, -1))) {
            harness.client().write(0, new byte[512]); // now the disk has a table of its own
        }

        for (long other : List.of(table.offsetBytes(), l1, Entry.host(longAt(image, l1)))) {
            SparseBytes bad = storage.content();
            long l2 = Entry.host(longAt(bad, longAt(bad, 40)));
            setLong(bad, l2 + 5 * Long.BYTES, Entry.data(other));
            RecordingStorage opened = new RecordingStorage(bad, new AtomicLong(), 1, false);
            try (StageHarness harness = StageHarness.open(new EngineStage(opened, null, 64 << 10, -1))) {
                assertThat(harness.client()
                                .call(BlockOp.WRITE, 0, 5 * 4096, 512, new byte[512])
                                .status())
                        .isEqualTo(BlockStatus.IO_ERROR);
            }
            assertThat(opened.content().read(other, 4096)).isEqualTo(bad.read(other, 4096));
        }
    }

    /** Its bitmaps are still good for who repairs it. */
    @Test
    void anImageThatIsRefusedKeepsItsBitmaps() throws Exception {
        SparseBytes image = written(9);
        setLong(image, 88, 1);
        setLong(image, longAt(image, 40), 0x1234_5678_9abc_def0L);
        RecordingStorage storage = new RecordingStorage(image, new AtomicLong(), 1, false);

        assertThat(refusal(storage)).contains("entry 0 of its L1 table is bad");
        assertThat(storage.events()).isEmpty();
    }

    /** Entries could not tell where the next clusters are. */
    @Test
    void anImageThatGoesOnFartherThanEntriesCanTellIsRefused() throws Exception {
        RecordingStorage storage = new RecordingStorage(written(9), new AtomicLong(), 1, false) {
            @Override
            public long sizeBytes() {
                return (1L << 55) + 512;
            }
        };

        assertThat(refusal(storage)).contains("has 36028797018964480 bytes", "read-only");
    }

    private static String refusal(SparseBytes image) {
        return refusal(new RecordingStorage(image, new AtomicLong(), 1, false));
    }

    private static String refusal(RecordingStorage storage) {
        StageException refused = org.junit.jupiter.api.Assertions.assertThrows(
                StageException.class,
                () -> StageHarness.open(new EngineStage(storage, null, 64 << 10, -1))
                        .close());
        return String.valueOf(refused.getMessage());
    }

    private static long longAt(SparseBytes image, long offset) {
        return ByteBuffer.wrap(image.read(offset, Long.BYTES)).getLong();
    }

    private static void setLong(SparseBytes image, long offset, long value) {
        image.write(offset, ByteBuffer.allocate(Long.BYTES).putLong(value).array(), 0, Long.BYTES);
    }

    private static SparseBytes written(int clusterBits) throws Exception {
        RecordingStorage empty = new RecordingStorage(new SparseBytes(), new AtomicLong(), 1, false);
        Qcow2Format.create(empty, SIZE, clusterBits, null, null);
        RecordingStorage storage = new RecordingStorage(empty.content(), new AtomicLong(), 1, false);
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 64 << 10, -1))) {
            for (int at = 0; at < SIZE; at += 3 << clusterBits) {
                harness.client().write(at, TaggedHistory.bytes((1 << clusterBits) / 128, at + 1));
            }
        }
        return storage.content();
    }

    /** Header, refcount table, first block, L1 and first L2 tables are at the start of such a small image. */
    private static void poke(SparseBytes image, Random random, int clusterBytes) {
        int count = 1 + random.nextInt(8);
        for (int i = 0; i < count; i++) {
            byte[] bytes = new byte[1 + random.nextInt(8)];
            random.nextBytes(bytes);
            if (random.nextInt(3) == 0) {
                java.util.Arrays.fill(bytes, (byte) -random.nextInt(2));
            }
            int place = random.nextInt(4) == 0 ? random.nextInt(112) : random.nextInt(12 * clusterBytes);
            image.write(place, bytes, 0, bytes.length);
        }
    }

    private static void use(StageHarness harness, Random random) {
        List<CompletableFuture<Reply>> replies = new ArrayList<>();
        long size = harness.disk().geometry().sizeBytes();
        BlockOp[] ops = BlockOp.values();
        for (int i = 0; i < 60; i++) {
            BlockOp op = ops[random.nextInt(ops.length)];
            int length = op == BlockOp.FLUSH ? 0 : (int) Math.min(size, 1 + random.nextInt(20_000));
            long offset = op == BlockOp.FLUSH ? 0 : (long) (random.nextDouble() * (Math.min(size, SIZE) - length));
            byte[] data = op == BlockOp.WRITE ? new byte[length] : new byte[0];
            replies.add(harness.client().send(op, 0, offset, length, data));
        }
        replies.forEach(reply -> assertThat(TestClient.await(reply).status())
                .isIn(BlockStatus.OK, BlockStatus.IO_ERROR, BlockStatus.NO_SPACE, BlockStatus.OUT_OF_RANGE));
        TestClient.await(harness.drain()); // whether the last flush succeeds depends on what is damaged
    }
}

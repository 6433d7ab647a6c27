package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.testkit.Reply;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** An image whose tables hold anything is refused, or its requests are answered: nothing hangs, and nothing is thrown. */
@Timeout(120)
class HostileImageTest {
    private static final int SIZE = 256 << 10;
    private static final int IMAGES = 30;

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

    private static String refusal(SparseBytes image) {
        RecordingStorage storage = new RecordingStorage(image, new AtomicLong(), 1, false);
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

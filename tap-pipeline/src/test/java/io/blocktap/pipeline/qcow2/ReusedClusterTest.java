package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.testkit.Reply;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A host cluster whose content was discarded gets other content only when nothing can reach it by what it was. */
@Timeout(120)
class ReusedClusterTest {
    private static final int CLUSTER_BITS = 9;
    private static final int CLUSTER = 1 << CLUSTER_BITS;
    /** What one L2 table of such small clusters maps. */
    private static final int TABLE_REACH = CLUSTER / Long.BYTES * CLUSTER;

    private static final int SIZE = 32 * TABLE_REACH;
    private static final int ROUNDS = 40;

    private final AtomicLong clock = new AtomicLong();

    private static SparseBytes emptyImage() throws Exception {
        try (RecordingStorage storage = new RecordingStorage(new SparseBytes(), new AtomicLong(), 0, false)) {
            Qcow2Format.create(storage, SIZE, CLUSTER_BITS, null, null);
            return storage.content();
        }
    }

    private static byte[] filled(int value) {
        byte[] bytes = new byte[CLUSTER];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    @Test
    void aReadThatIsUnderWaySeesNothingOfWhatIsWrittenAfterADiscard() throws Exception {
        RecordingStorage storage = new RecordingStorage(emptyImage(), clock, 1, false);
        try (StageHarness harness = StageHarness.openOn(2, new EngineStage(storage, null, 64 << 10, -1))) {
            TestClient client = harness.client();
            for (int round = 0; round < ROUNDS; round++) {
                long at = (long) round * CLUSTER;
                client.write(at, filled(0xa1));
                client.flush();
                CompletableFuture<BlockRequest> held = storage.holdNext();
                CompletableFuture<Reply> read = client.send(BlockOp.READ, 0, at, CLUSTER, new byte[0]);
                BlockRequest transfer = TestClient.await(held);

                client.discard(at, CLUSTER);
                client.flush();
                writeElsewhere(client, round);
                storage.answer(transfer);

                assertThat(TestClient.await(read).data()).as("round %d", round).isEqualTo(filled(0xa1));
            }
        }
        assertThat(new Qcow2Checker(storage.content(), null).check().errors).isEmpty();
    }

    @Test
    void aWriteThatIsUnderWayDoesNotGetIntoWhatIsWrittenAfterADiscard() throws Exception {
        RecordingStorage storage = new RecordingStorage(emptyImage(), clock, 2, false);
        try (StageHarness harness = StageHarness.openOn(2, new EngineStage(storage, null, 64 << 10, -1))) {
            TestClient client = harness.client();
            for (int round = 0; round < ROUNDS; round++) {
                long at = (long) round * CLUSTER;
                client.write(at, filled(0xa1));
                client.flush();
                CompletableFuture<BlockRequest> held = storage.holdNext();
                CompletableFuture<Reply> write = client.send(BlockOp.WRITE, 0, at, CLUSTER, filled(0xa2));
                BlockRequest transfer = TestClient.await(held);

                client.discard(at, CLUSTER);
                client.flush();
                long elsewhere = writeElsewhere(client, round);
                storage.answer(transfer);

                assertThat(TestClient.await(write).status()).isEqualTo(BlockStatus.OK);
                for (int i = 0; i < 4; i++) {
                    assertThat(client.read(elsewhere + (long) i * CLUSTER, CLUSTER))
                            .as("round %d", round)
                            .isEqualTo(filled(0xb1));
                }
            }
        }
        Qcow2Checker checker = new Qcow2Checker(storage.content(), null).check();
        assertThat(checker.errors).isEmpty();
        assertThat(checker.leaks).isEmpty();
    }

    /** Needs host clusters, more than are free; flushes between give them time to become free. */
    private static long writeElsewhere(TestClient client, int round) {
        long elsewhere = SIZE / 2 + (long) round * 4 * CLUSTER;
        for (int i = 0; i < 4; i++) {
            client.write(elsewhere + (long) i * CLUSTER, filled(0xb1));
            client.flush();
        }
        return elsewhere;
    }

    /** The table's new place holds what a guest has written there once, until the table is stable: an L1 entry that came first would make that the map. */
    @Test
    void aTableInAReusedClusterIsStableBeforeAnythingRefersToIt() throws Exception {
        SparseBytes empty = emptyImage();
        RecordingStorage storage = new RecordingStorage(empty.copy(), clock, 3, false);
        TaggedHistory history = new TaggedHistory(clock, new long[SIZE / TaggedHistory.GRANULE_BYTES]);
        int reused = 0;
        try (StageHarness harness = StageHarness.open(new EngineStage(storage, null, 64 << 10, -1))) {
            TestClient client = harness.client();
            for (int table = 1; table < SIZE / TABLE_REACH; table++) {
                write(client, history, 0, 8 * CLUSTER, 3 * table);
                long end = storage.sizeBytes();
                discard(client, history, 0, 8 * CLUSTER);
                flush(client, history); // the eight become free
                flush(client, history);
                write(client, history, (long) table * TABLE_REACH, CLUSTER, 3 * table + 1);
                flush(client, history);
                reused += storage.sizeBytes() == end ? 1 : 0;
            }
        }
        assertThat(reused).as("tables that needed no room at the end").isPositive();

        List<RecordingStorage.Event> events = storage.events();
        CrashImages images = new CrashImages(empty, events, 4);
        for (int count = 0; count <= events.size(); count++) {
            images.advanceTo(count);
            long time = count < events.size() ? events.get(count).clock() : Long.MAX_VALUE;
            for (int i = 0; i < 4; i++) {
                CrashTest.check("event " + count, images.powerLost(), null, history, time);
            }
        }
    }

    private static void write(TestClient client, TaggedHistory history, long offset, int length, long tag) {
        int granules = length / TaggedHistory.GRANULE_BYTES;
        TaggedHistory.Op op = history.begin((int) (offset / TaggedHistory.GRANULE_BYTES), granules, tag, false, false);
        client.write(offset, TaggedHistory.bytes(granules, tag));
        history.end(op);
    }

    private static void discard(TestClient client, TaggedHistory history, long offset, int length) {
        TaggedHistory.Op op = history.begin(
                (int) (offset / TaggedHistory.GRANULE_BYTES),
                length / TaggedHistory.GRANULE_BYTES,
                TaggedHistory.ZERO,
                false,
                true);
        client.discard(offset, length);
        history.end(op);
    }

    private void flush(TestClient client, TaggedHistory history) {
        long begun = clock.incrementAndGet();
        client.flush();
        history.flushed(begun);
    }
}

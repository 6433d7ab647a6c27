package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A request whose clusters lie here and there in the file is done in parts: it does not take all memory, nor an event loop's time. */
@Timeout(60)
class ScatteredClustersTest {
    private static final int CLUSTER = 512;
    private static final int HALF = 512 << 10;
    private static final int MOST_IN_FLIGHT = 64;

    @Test
    void aWriteAndAReadOfAThousandPiecesAreDoneAFewAtATime() throws Exception {
        RecordingStorage empty = new RecordingStorage(new SparseBytes(), new AtomicLong(), 0, false);
        Qcow2Format.create(empty, 2 * HALF, 9, null, null);
        RecordingStorage storage = new RecordingStorage(empty.content(), new AtomicLong(), 1, true);
        byte[] data = new byte[HALF];
        new Random(1).nextBytes(data);
        EngineStage stage = new EngineStage(storage, null, 64 << 10, -1);
        try (StageHarness harness = StageHarness.open(stage)) {
            TestClient client = harness.client();
            client.write(0, data);
            for (int at = 0; at < HALF; at += 2 * CLUSTER) {
                client.discard(at, CLUSTER);
            }
            client.flush();
            Awaitility.await().until(() -> stage.freeClusters() >= HALF / CLUSTER / 2);

            client.write(HALF, data);

            assertThat(client.read(HALF, HALF)).isEqualTo(data);
        }
        assertThat(storage.mostInFlight()).isBetween(8, MOST_IN_FLIGHT);
        Qcow2Checker checker = new Qcow2Checker(storage.content(), null).check();
        assertThat(checker.errors).isEmpty();
        assertThat(checker.leaks).isEmpty();
        assertThat(pieces(storage.content())).isGreaterThan(500);
    }

    /** Returns how many of the second half's clusters do not lie behind their neighbour. */
    private static int pieces(SparseBytes image) {
        java.nio.ByteBuffer header = java.nio.ByteBuffer.wrap(image.read(0, 104));
        int pieces = 0;
        long before = 0;
        for (int cluster = HALF / CLUSTER; cluster < 2 * HALF / CLUSTER; cluster++) {
            long l2 = Entry.host(longAt(image, header.getLong(40) + cluster / 64 * 8L));
            long host = Entry.host(longAt(image, l2 + cluster % 64 * 8L));
            pieces += host == before + CLUSTER ? 0 : 1;
            before = host;
        }
        return pieces;
    }

    private static long longAt(SparseBytes image, long offset) {
        return java.nio.ByteBuffer.wrap(image.read(offset, Long.BYTES)).getLong();
    }
}

package io.blocktap.pipeline.testkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.testkit.ReferenceDisk.Answering;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What every interposer does that neither loses nor invents data. An interposer's test class extends this and says how to make one.
 */
public abstract class InterposerContractTest {
    private static final int SIZE_BYTES = 2 << 20;

    /** Makes an interposer, not opened. Several times in a test. */
    protected abstract Stage makeInterposer() throws Exception;

    /** Returns whether every request comes down to the stage below as it is, at once: so its errors come up, and it can be added at run time. */
    protected boolean isTransparent() {
        return true;
    }

    private static byte[] random(int length, long seed) {
        byte[] data = new byte[length];
        new Random(seed).nextBytes(data);
        return data;
    }

    private static int unit(StageHarness harness) {
        return harness.disk().geometry().minimumIoBytes();
    }

    private static int lengthOf(StageHarness harness, int wanted) {
        long size = harness.disk().geometry().sizeBytes() / unit(harness) * unit(harness);
        return (int) Math.min(size, wanted);
    }

    @ParameterizedTest
    @EnumSource(names = {"AT_ONCE", "FROM_WORKERS"})
    void equalsAnArrayUnderRandomOperations(Answering answering) throws Exception {
        long seed = System.nanoTime();
        try (StageHarness harness = StageHarness.open(makeInterposer(), new ReferenceDisk(SIZE_BYTES, answering))) {
            Geometry geometry = harness.disk().geometry();
            int length = lengthOf(harness, SIZE_BYTES);

            new Oracle(harness.client(), geometry, 0, length, seed).exercise(1000, 128 << 10);
        }
    }

    @Test
    void severalClientsWorkSideBySide() throws Exception {
        long seed = System.nanoTime();
        ReferenceDisk disk = new ReferenceDisk(SIZE_BYTES, Answering.FROM_WORKERS);
        try (StageHarness harness = StageHarness.openOn(2, makeInterposer(), disk)) {
            Geometry geometry = harness.disk().geometry();
            int half = lengthOf(harness, SIZE_BYTES) / 2 / unit(harness) * unit(harness);
            TestClient second = harness.connect();

            CompletableFuture<Void> other = CompletableFuture.runAsync(
                    () -> new Oracle(second, geometry, half, half, seed + 1).exercise(300, 64 << 10));
            new Oracle(harness.client(), geometry, 0, half, seed).exercise(300, 64 << 10);

            TestClient.await(other);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"AT_ONCE", "FROM_WORKERS"})
    void passesErrorsFromBelowUp(Answering answering) throws Exception {
        assumeTrue(isTransparent(), "answers some requests itself");
        ReferenceDisk below = new ReferenceDisk(SIZE_BYTES, answering);
        try (StageHarness harness = StageHarness.open(makeInterposer(), below)) {
            int unit = unit(harness);
            for (BlockOp op : BlockOp.values()) {
                for (BlockStatus status : List.of(
                        BlockStatus.IO_ERROR, BlockStatus.NO_SPACE, BlockStatus.UNSUPPORTED, BlockStatus.SHUTDOWN)) {
                    below.failNext(op, status);

                    Reply reply = harness.client().call(op, 0, op == BlockOp.FLUSH ? 0 : unit);

                    reply.with(status);
                    harness.client().call(op, 0, op == BlockOp.FLUSH ? 0 : unit).ok();
                }
            }
        }
    }

    @Test
    void neverTurnsAFailedFlushIntoASuccess() throws Exception {
        ReferenceDisk below = new ReferenceDisk(SIZE_BYTES, Answering.AT_ONCE);
        try (StageHarness harness = StageHarness.open(makeInterposer(), below)) {
            assumeTrue(harness.disk().geometry().has(Feature.FLUSH), "no FLUSH");
            harness.client().write(0, random(unit(harness), 1));
            below.failNext(BlockOp.FLUSH, BlockStatus.IO_ERROR);
            int before = below.seen(BlockOp.FLUSH);

            Reply reply = harness.client().call(BlockOp.FLUSH, 0, 0);

            boolean reached = below.seen(BlockOp.FLUSH) > before;
            assertThat(reply.status() == BlockStatus.OK && reached)
                    .as("the flush below failed, the answer is %s", reply.status())
                    .isFalse();
            if (!reached) {
                harness.client().call(BlockOp.FLUSH, 0, 0); // takes the planned failure out
            }
        }
    }

    @Test
    void takesEveryKindOfBuffer() throws Exception {
        try (StageHarness harness =
                StageHarness.open(makeInterposer(), new ReferenceDisk(SIZE_BYTES, Answering.FROM_WORKERS))) {
            int unit = unit(harness);
            int length = (3 * 4096 + unit) / unit * unit;
            for (BufferKind kind : BufferKind.values()) {
                byte[] data = random(length, kind.ordinal());

                harness.client().using(kind).write(unit, data);

                assertThat(harness.client().read(unit, length)).as("%s", kind).isEqualTo(data);
            }
        }
    }

    @Test
    void drainWaitsForRequestsInFlight() throws Exception {
        ReferenceDisk below = new ReferenceDisk(SIZE_BYTES, Answering.WHEN_RELEASED);
        try (StageHarness harness = StageHarness.open(makeInterposer(), below)) {
            int unit = unit(harness);
            List<CompletableFuture<Reply>> replies = new ArrayList<>();
            for (int i = 0; i < 64; i++) {
                BlockOp op = i % 2 == 0 ? BlockOp.WRITE : BlockOp.READ;
                byte[] data = op == BlockOp.WRITE ? random(unit, i) : new byte[0];
                replies.add(harness.client().send(op, 0, (long) i * unit, unit, data));
            }

            CompletableFuture<BlockStatus> drained = harness.drain();
            Awaitility.await().atMost(30, TimeUnit.SECONDS).until(() -> {
                below.release(); // the flush at the end is held, too
                return drained.isDone();
            });

            assertThat(TestClient.await(drained)).isEqualTo(BlockStatus.OK);
            replies.forEach(reply -> {
                assertThat(reply).isDone();
                TestClient.await(reply).ok();
            });
        }
        assertThat(below.timesClosed()).isEqualTo(1);
    }

    @Test
    void isAddedToAndRemovedFromARunningChainWithNothingLost() throws Exception {
        assumeTrue(isTransparent(), "changes what is stored");
        ReferenceDisk below = new ReferenceDisk(SIZE_BYTES, Answering.FROM_WORKERS);
        try (StageHarness harness = StageHarness.open(below)) {
            int blocks = 256;
            byte[][] written = new byte[blocks][];
            List<CompletableFuture<Reply>> replies = new ArrayList<>();
            for (int round = 0; round < 20; round++) {
                CompletableFuture<Void> removed = CompletableFuture.completedFuture(null);
                for (int i = 0; i < blocks; i++) {
                    if (i == blocks / 4) {
                        harness.disk().addStage(0, "added", makeInterposer());
                    } else if (i == 3 * blocks / 4) {
                        removed = harness.disk().removeStage("added");
                    }
                    written[i] = random(4096, (long) round * blocks + i);
                    replies.add(harness.client().send(BlockOp.WRITE, 0, i * 4096L, 4096, written[i]));
                }
                // The next round writes the same blocks, and writes in flight have no order.
                replies.forEach(reply -> TestClient.await(reply).ok());
                TestClient.await(removed);
            }

            for (int i = 0; i < blocks; i++) {
                assertThat(Arrays.equals(harness.client().read(i * 4096L, 4096), written[i]))
                        .as("block %d", i)
                        .isTrue();
            }
            assertThat(replies).hasSize(20 * blocks);
        }
    }

    @Test
    void servesWhatItOffersWhenTheDiskBelowGrows() throws Exception {
        ReferenceDisk below = new ReferenceDisk(SIZE_BYTES, 2L * SIZE_BYTES, Answering.FROM_WORKERS);
        try (StageHarness harness = StageHarness.open(makeInterposer(), below)) {
            long before = harness.disk().geometry().sizeBytes();
            byte[] first = random(4096, 1);
            harness.client().write(before - 4096, first);

            TestClient.await(below.resize(2L * SIZE_BYTES));

            long now = harness.disk().geometry().sizeBytes();
            assertThat(now).isGreaterThanOrEqualTo(before);
            assertThat(harness.client().read(before - 4096, 4096)).isEqualTo(first);
            byte[] last = random(4096, 2);
            harness.client().write(now - 4096, last);
            assertThat(harness.client().read(now - 4096, 4096)).isEqualTo(last);
            harness.client().call(BlockOp.READ, now, 4096).with(BlockStatus.OUT_OF_RANGE);
        }
    }

    @Test
    void opensAndClosesWithoutARequest() throws Exception {
        ReferenceDisk below = new ReferenceDisk(SIZE_BYTES, Answering.AT_ONCE);
        try (StageHarness harness = StageHarness.open(makeInterposer(), below)) {
            assertThat(harness.disk().geometry().sizeBytes()).isPositive();
        }
        assertThat(below.timesClosed()).isEqualTo(1);
    }
}

package io.blocktap.pipeline.testkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.Stage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/**
 * What every terminator does. A terminator's test class extends this and says how to make one.
 *
 * <p>The disk should be 1 to 64 MiB in size, so that a run is short.
 */
public abstract class TerminatorContractTest {
    /** Makes a terminator over storage of its own, not opened. May be called several times in a test class. */
    protected abstract Stage makeTerminator() throws Exception;

    /** Makes a terminator that can only be read, or returns null if there is no such thing. */
    protected Stage makeReadOnlyTerminator() throws Exception {
        return null;
    }

    /** Makes a terminator over the storage of the last {@link #makeTerminator}, or returns null if content does not outlive a close. */
    protected Stage reopen() throws Exception {
        return null;
    }

    /** Returns whether what is written can be read; false for {@code null}. */
    protected boolean keepsData() {
        return true;
    }

    private static byte[] random(int length, long seed) {
        byte[] data = new byte[length];
        new Random(seed).nextBytes(data);
        return data;
    }

    private static Geometry geometry(StageHarness harness) {
        return harness.disk().geometry();
    }

    private static int unit(StageHarness harness) {
        return geometry(harness).minimumIoBytes();
    }

    private static int lengthOf(StageHarness harness, int wanted) {
        long size = geometry(harness).sizeBytes() / unit(harness) * unit(harness);
        return (int) Math.min(size, wanted);
    }

    private byte[] stored(byte[] written) {
        return keepsData() ? written : new byte[written.length];
    }

    // ---- content

    @Test
    void equalsAnArrayUnderRandomOperations() throws Exception {
        assumeTrue(keepsData(), "keeps no data");
        long seed = System.nanoTime();
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            int length = lengthOf(harness, 12 << 20);
            Oracle oracle = new Oracle(harness.client(), geometry(harness), 0, length, seed);

            oracle.exercise(1500, 256 << 10);
        }
    }

    @Test
    void readsAndWritesTheFirstAndTheLastBlock() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            int unit = unit(harness);
            long last = geometry(harness).sizeBytes() / unit * unit - unit;
            byte[] data = random(unit, 1);

            harness.client().write(0, data);
            harness.client().write(last, data);

            assertThat(harness.client().read(0, unit)).isEqualTo(stored(data));
            assertThat(harness.client().read(last, unit)).isEqualTo(stored(data));
        }
    }

    @Test
    void takesEveryKindOfBuffer() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            int unit = unit(harness);
            int length = (3 * 4096 + unit) / unit * unit;
            for (BufferKind written : BufferKind.values()) {
                for (BufferKind read : BufferKind.values()) {
                    byte[] data = random(length, written.ordinal() * 10L + read.ordinal());

                    harness.client().using(written).write(unit, data);

                    assertThat(harness.client().using(read).read(unit, length))
                            .as("%s read into %s", written, read)
                            .isEqualTo(stored(data));
                }
            }
        }
    }

    @Test
    void movesLargeRequests() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            byte[] data = random(lengthOf(harness, 9 << 20), 2);

            harness.client().write(0, data);

            assertThat(Arrays.equals(harness.client().read(0, data.length), stored(data)))
                    .isTrue();
        }
    }

    @Test
    void zeroesAreReadAfterWriteZeroes() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            assumeTrue(geometry(harness).has(Feature.WRITE_ZEROES), "no WRITE_ZEROES");
            int length = lengthOf(harness, 9 << 20);
            int unit = unit(harness);
            byte[] data = random(length, 3);
            harness.client().write(0, data);

            harness.client().zero(unit, length - 2 * unit);

            Arrays.fill(data, unit, length - unit, (byte) 0);
            assertThat(Arrays.equals(harness.client().read(0, length), stored(data)))
                    .isTrue();
        }
    }

    @Test
    void discardedRangesReadTheSameEachTime() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            assumeTrue(geometry(harness).has(Feature.DISCARD), "no DISCARD");
            int length = lengthOf(harness, 9 << 20);
            int unit = unit(harness);
            byte[] data = random(length, 4);
            harness.client().write(0, data);

            harness.client().discard(unit, length - 2 * unit);

            byte[] once = harness.client().read(0, length);
            assertThat(Arrays.equals(harness.client().read(0, length), once)).isTrue();
            assertThat(Arrays.copyOf(once, unit)).isEqualTo(stored(Arrays.copyOf(data, unit)));
            assertThat(Arrays.copyOfRange(once, length - unit, length))
                    .isEqualTo(stored(Arrays.copyOfRange(data, length - unit, length)));
        }
    }

    @Test
    void keepsFlushedDataOverAClose() throws Exception {
        byte[] data = random(64 << 10, 5);
        int length;
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            length = lengthOf(harness, data.length);
            harness.client().write(0, Arrays.copyOf(data, length));
            if (geometry(harness).has(Feature.FLUSH)) {
                harness.client().flush();
            }
        }
        Stage again = reopen();
        assumeTrue(again != null, "content ends with the disk");

        try (StageHarness harness = StageHarness.open(again)) {
            assertThat(harness.client().read(0, length)).isEqualTo(Arrays.copyOf(data, length));
        }
    }

    // ---- refusals

    @Test
    void refusesWhatLiesOutsideOfTheDisk() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            long size = geometry(harness).sizeBytes();
            int unit = unit(harness);
            long[] offsets = {size, size + unit, Long.MAX_VALUE, Long.MAX_VALUE - unit + 1, -unit, Long.MIN_VALUE};
            for (BlockOp op : List.of(BlockOp.READ, BlockOp.WRITE, BlockOp.DISCARD, BlockOp.WRITE_ZEROES)) {
                for (long offset : offsets) {
                    harness.client().call(op, offset, unit).with(BlockStatus.OUT_OF_RANGE);
                }
                harness.client().call(op, size - unit, 2L * unit).with(BlockStatus.OUT_OF_RANGE);
            }
            harness.client().call(BlockOp.DISCARD, unit, Long.MAX_VALUE).with(BlockStatus.OUT_OF_RANGE);
            harness.client().call(BlockOp.WRITE_ZEROES, 0, -1).with(BlockStatus.OUT_OF_RANGE);
        }
    }

    @Test
    void refusesWhatIsNotAligned() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            int unit = unit(harness);
            assumeTrue(unit > 1, "takes any byte");

            harness.client().call(BlockOp.READ, 1, unit).with(BlockStatus.INVALID);
            harness.client().call(BlockOp.WRITE, 0, unit - 1).with(BlockStatus.INVALID);
        }
    }

    @Test
    void answersUnsupportedWhatItDoesNotAdvertise() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            int unit = unit(harness);
            for (BlockOp op : List.of(BlockOp.FLUSH, BlockOp.DISCARD, BlockOp.WRITE_ZEROES)) {
                boolean has = geometry(harness).has(Feature.valueOf(op.name()));
                BlockStatus expected = has ? BlockStatus.OK : BlockStatus.UNSUPPORTED;
                harness.client().call(op, 0, op == BlockOp.FLUSH ? 0 : unit).with(expected);
            }
            boolean fua = geometry(harness).has(Feature.FUA);
            harness.client()
                    .call(BlockOp.WRITE, BlockRequest.FUA, 0, unit, new byte[unit])
                    .with(fua ? BlockStatus.OK : BlockStatus.UNSUPPORTED);
        }
    }

    @Test
    void fastZeroesEitherSucceedOrAreUnsupported() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            assumeTrue(geometry(harness).has(Feature.FAST_ZERO), "no FAST_ZERO");
            int length = lengthOf(harness, 64 << 10);
            byte[] data = random(length, 6);
            harness.client().write(0, data);

            Reply reply = harness.client().call(BlockOp.WRITE_ZEROES, BlockRequest.FAST_ONLY, 0, length, new byte[0]);

            assertThat(reply.status()).isIn(BlockStatus.OK, BlockStatus.UNSUPPORTED);
            byte[] expected = reply.status() == BlockStatus.OK ? new byte[length] : stored(data);
            assertThat(harness.client().read(0, length)).isEqualTo(expected);
        }
    }

    @Test
    void aReadOnlyDiskIsReadButNotWritten() throws Exception {
        Stage terminator = makeReadOnlyTerminator();
        assumeTrue(terminator != null, "is never read-only");
        try (StageHarness harness = StageHarness.open(terminator)) {
            assertThat(geometry(harness).has(Feature.READ_ONLY)).isTrue();
            int unit = unit(harness);
            byte[] before = harness.client().read(0, unit);

            for (BlockOp op : List.of(BlockOp.WRITE, BlockOp.DISCARD, BlockOp.WRITE_ZEROES)) {
                harness.client().call(op, 0, unit).with(BlockStatus.READ_ONLY);
            }

            assertThat(harness.client().read(0, unit)).isEqualTo(before);
        }
    }

    // ---- many at a time

    @Test
    void drainWaitsForRequestsInFlight() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            int unit = unit(harness);
            int length = lengthOf(harness, 64 << 10);
            List<CompletableFuture<Reply>> replies = new ArrayList<>();
            for (int i = 0; i < 200; i++) {
                BlockOp op = i % 2 == 0 ? BlockOp.WRITE : BlockOp.READ;
                byte[] data = op == BlockOp.WRITE ? random(unit, i) : new byte[0];
                replies.add(harness.client().send(op, 0, (long) i * unit % length, unit, data));
            }

            TestClient.await(harness.drain());

            assertThat(replies).allMatch(CompletableFuture::isDone);
            replies.forEach(reply -> TestClient.await(reply).ok());
        }
    }

    @Test
    void aFlushAmongWritesIsAnswered() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            assumeTrue(geometry(harness).has(Feature.FLUSH), "no FLUSH");
            int unit = unit(harness);
            List<CompletableFuture<Reply>> replies = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                replies.add(harness.client().send(BlockOp.WRITE, 0, 0, unit, random(unit, i)));
                replies.add(harness.client().send(BlockOp.FLUSH, 0, 0, 0, new byte[0]));
            }

            replies.forEach(reply -> TestClient.await(reply).ok());
        }
    }

    @Test
    void severalClientsWorkSideBySide() throws Exception {
        long seed = System.nanoTime();
        try (StageHarness harness = StageHarness.openOn(2, makeTerminator())) {
            assumeTrue(keepsData(), "keeps no data");
            int unit = unit(harness);
            int half = lengthOf(harness, 8 << 20) / 2 / unit * unit;
            TestClient first = harness.client();
            TestClient second = harness.connect();
            Geometry geometry = geometry(harness);

            CompletableFuture<Void> other = CompletableFuture.runAsync(
                    () -> new Oracle(second, geometry, half, half, seed + 1).exercise(500, 64 << 10));
            new Oracle(first, geometry, 0, half, seed).exercise(500, 64 << 10);

            TestClient.await(other);
        }
    }

    @Test
    void opensAndClosesWithoutARequest() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            assertThat(geometry(harness).sizeBytes()).isPositive();
        }
    }
}

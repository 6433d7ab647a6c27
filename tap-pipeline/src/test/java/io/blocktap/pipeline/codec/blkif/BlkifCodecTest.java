package io.blocktap.pipeline.codec.blkif;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.codec.blkif.RawFrontend.Answer;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import java.util.SplittableRandom;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Well-formed requests of every kind do what {@code io/blkif.h} says. */
class BlkifCodecTest {
    private static final int READ = Blkif.BLKIF_OP_READ;
    private static final int WRITE = Blkif.BLKIF_OP_WRITE;
    private static final int BARRIER = Blkif.BLKIF_OP_WRITE_BARRIER;
    private static final int FLUSH = Blkif.BLKIF_OP_FLUSH_DISKCACHE;

    @TempDir
    Path directory;

    private static void fill(RawFrontend guest, int page, byte[] bytes, int from) {
        guest.memory.put(page * 4096, bytes, from, 4096);
    }

    private static byte[] random(int length, long seed) {
        byte[] bytes = new byte[length];
        SplittableRandom random = new SplittableRandom(seed);
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) random.nextInt();
        }
        return bytes;
    }

    @ParameterizedTest
    @EnumSource(BlkifLayout.class)
    void scatteredSegmentsCarryTheirBytesInOrder(BlkifLayout layout) throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = new RawFrontend(bench.path, layout, 2, 64)) {
            byte[] data = random(4096 * 3, 1);
            fill(guest, 20, data, 0);
            fill(guest, 9, data, 4096);
            fill(guest, 33, data, 8192);

            // 3 sectors of page 20, 1 of page 9, all of page 33
            guest.request(WRITE, 1, 5, 20, 2, 4, 9, 7, 7, 33, 0, 7);
            assertThat(guest.ask()).isEqualTo(new Answer(1, WRITE, 0));
            guest.request(READ, 2, 5, 40, 1, 3, 41, 0, 0, 50, 0, 7);
            assertThat(guest.ask()).isEqualTo(new Answer(2, READ, 0));

            byte[] expected = new byte[12 * 512];
            System.arraycopy(data, 2 * 512, expected, 0, 3 * 512);
            System.arraycopy(data, 4096 + 7 * 512, expected, 3 * 512, 512);
            System.arraycopy(data, 8192, expected, 4 * 512, 4096);
            assertThat(Arrays.copyOfRange(bench.storage.bytes, 5 * 512, 17 * 512))
                    .isEqualTo(expected);
            byte[] read = new byte[12 * 512];
            guest.memory.get(40 * 4096 + 512, read, 0, 3 * 512);
            guest.memory.get(41 * 4096, read, 3 * 512, 512);
            guest.memory.get(50 * 4096, read, 4 * 512, 4096);
            assertThat(read).isEqualTo(expected);
            assertThat(bench.buffersInUse()).isZero();
        }
    }

    @Test
    void requestOverPagesSideBySideWorksOnTheGuestsMemoryItself() throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = bench.connect()) {
            bench.storage.hold = request -> request.op() == BlockOp.READ;
            guest.request(READ, 1, 0, 10, 4, 7, 11, 0, 7, 12, 0, 2);
            guest.publish();
            Awaitility.await().until(() -> bench.storage.held.size() == 1);

            bench.storage.held.get(0).data().setByte(0, 0x5a);

            assertThat(bench.buffersInUse()).isZero();
            assertThat(guest.memory.get(10 * 4096 + 4 * 512)).isEqualTo((byte) 0x5a);
            bench.storage.releaseAll(BlockStatus.OK);
            assertThat(guest.await(1)).containsExactly(new Answer(1, READ, 0));
        }
    }

    @ParameterizedTest
    @EnumSource(BlkifLayout.class)
    void indirectRequestOf256SegmentsIsAnsweredWithItsInnerOperation(BlkifLayout layout) throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = new RawFrontend(bench.path, layout, 0, 600)) {
            byte[] data = random(1 << 20, 2);
            for (int i = 0; i < 256; i++) {
                int page = 600 - i; // backwards, so that they are not side by side
                fill(guest, page, data, i * 4096);
                guest.segmentInPage(1, i, page, 0, 7);
            }

            guest.indirect(WRITE, 77, 8, 256, 1);
            assertThat(guest.ask()).isEqualTo(new Answer(77, WRITE, 0));
            assertThat(Arrays.copyOfRange(bench.storage.bytes, 4096, 4096 + data.length))
                    .isEqualTo(data);

            for (int i = 0; i < 256; i++) {
                guest.segmentInPage(1, i, 2 + i, 0, 7);
            }
            guest.indirect(READ, 78, 8, 256, 1);
            assertThat(guest.ask()).isEqualTo(new Answer(78, READ, 0));
            byte[] read = new byte[data.length];
            guest.memory.get(2 * 4096, read);
            assertThat(read).isEqualTo(data);
        }
    }

    @Test
    void barrierWaitsForEarlierRequestsAndHoldsBackLaterOnes() throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = bench.connect()) {
            bench.storage.hold = request -> request.offsetBytes() == 0 && request.op() == BlockOp.WRITE;
            guest.request(WRITE, 1, 0, 1, 0, 7);
            guest.request(BARRIER, 2, 8, 2, 0, 7);
            guest.request(WRITE, 3, 16, 3, 0, 7);
            guest.publish();
            Awaitility.await().until(() -> bench.storage.held.size() == 1);
            bench.disk.home().submit(() -> {}).sync();
            assertThat(bench.storage.seen).containsExactly("WRITE");

            bench.storage.releaseAll(BlockStatus.OK);

            assertThat(guest.await(3))
                    .containsExactly(new Answer(1, WRITE, 0), new Answer(2, BARRIER, 0), new Answer(3, WRITE, 0));
            assertThat(bench.storage.seen).containsExactly("WRITE", "FLUSH", "WRITE+FUA", "WRITE");
        }
    }

    @Test
    void barrierOfADiskWithoutFuaFlushesAfterwards() throws Exception {
        try (RingBench bench = new RingBench(directory, 1 << 20, Feature.FLUSH);
                RawFrontend guest = bench.connect()) {
            guest.request(BARRIER, 2, 8, 2, 0, 7);
            assertThat(guest.ask()).isEqualTo(new Answer(2, BARRIER, 0));
            assertThat(bench.storage.seen).containsExactly("FLUSH", "WRITE", "FLUSH");
        }
    }

    @Test
    void emptyBarrierIsAFlush() throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = bench.connect()) {
            guest.request(BARRIER, 2, 0);
            assertThat(guest.ask()).isEqualTo(new Answer(2, BARRIER, 0));
            assertThat(bench.storage.seen).containsExactly("FLUSH");
        }
    }

    @Test
    void flushWithDataFlushesThenWrites() throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = bench.connect()) {
            byte[] data = random(4096, 3);
            fill(guest, 5, data, 0);

            guest.request(FLUSH, 9, 16, 5, 0, 7);

            assertThat(guest.ask()).isEqualTo(new Answer(9, FLUSH, 0));
            assertThat(bench.storage.seen).containsExactly("FLUSH", "WRITE");
            assertThat(Arrays.copyOfRange(bench.storage.bytes, 16 * 512, 24 * 512))
                    .isEqualTo(data);
        }
    }

    @Test
    void afterAFailedFlushWritesFailAndReadsGoOn() throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = bench.connect()) {
            bench.storage.failFlushes = BlockStatus.IO_ERROR;
            guest.request(FLUSH, 1, 0);
            assertThat(guest.ask()).isEqualTo(new Answer(1, FLUSH, -1));
            bench.storage.failFlushes = null;

            guest.request(FLUSH, 2, 0);
            guest.request(WRITE, 3, 0, 1, 0, 7);
            guest.request(READ, 4, 0, 1, 0, 7);
            guest.publish();

            assertThat(guest.await(3))
                    .containsExactlyInAnyOrder(
                            new Answer(2, FLUSH, -1), new Answer(3, WRITE, -1), new Answer(4, READ, 0));
        }
    }

    @Test
    void flushOfADiskWithoutFlushIsNotSupported() throws Exception {
        try (RingBench bench = new RingBench(directory, 1 << 20);
                RawFrontend guest = bench.connect()) {
            guest.request(FLUSH, 1, 0);
            guest.request(BARRIER, 2, 0, 1, 0, 7);
            guest.discard(3, 0, 8, 0);
            guest.publish();
            assertThat(guest.await(3))
                    .containsExactlyInAnyOrder(
                            new Answer(1, FLUSH, -2),
                            new Answer(2, BARRIER, -2),
                            new Answer(3, Blkif.BLKIF_OP_DISCARD, -2));
            guest.request(WRITE, 4, 0, 1, 0, 7);
            assertThat(guest.ask()).as("not fenced").isEqualTo(new Answer(4, WRITE, 0));
        }
    }

    @Test
    void errorsBelowReachTheFrontend() throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = bench.connect()) {
            for (BlockStatus status : BlockStatus.values()) {
                bench.storage.hold = request -> true;
                guest.request(WRITE, status.ordinal(), 0, 1, 0, 7);
                guest.publish();
                Awaitility.await().until(() -> bench.storage.held.size() == 1);
                bench.storage.releaseAll(status);
                int expected = status == BlockStatus.OK ? 0 : status == BlockStatus.UNSUPPORTED ? -2 : -1;
                assertThat(guest.await(1)).containsExactly(new Answer(status.ordinal(), WRITE, expected));
            }
        }
    }

    @Test
    void ringWaitsForMemoryAndGoesOnWhenThereIsSome() throws Exception {
        // Two segments out of order need 8 KiB of the slab each; the budget has room for one request.
        try (RingBench bench = new RingBench(directory, 8192, Feature.FLUSH);
                RawFrontend guest = bench.connect()) {
            bench.storage.hold = request -> true;
            for (int i = 0; i < 5; i++) {
                guest.request(WRITE, i, 0, 2, 0, 7, 1, 0, 7);
            }
            guest.publish();
            for (int i = 0; i < 5; i++) {
                Awaitility.await().until(() -> bench.storage.held.size() == 1);
                bench.disk.home().submit(() -> {}).sync();
                assertThat(bench.loops.budget().usedBytes()).isEqualTo(8192);
                bench.storage.held.remove(0).complete(BlockStatus.OK);
                assertThat(guest.await(1)).containsExactly(new Answer(i, WRITE, 0));
            }
            assertThat(bench.loops.budget().usedBytes()).isZero();
        }
    }

    @Test
    void indirectRequestsOfOneTurnWaitForMemoryTogether() throws Exception {
        try (RingBench bench = new RingBench(directory, 8192, Feature.FLUSH);
                RawFrontend guest = bench.connect()) {
            bench.storage.hold = request -> true;
            guest.segmentInPage(1, 0, 12, 0, 7);
            guest.segmentInPage(1, 1, 11, 0, 7); // not side by side: needs a buffer
            for (int i = 0; i < 20; i++) {
                guest.indirect(WRITE, i, 0, 2, 1);
            }
            guest.publish();
            Set<Long> answered = new HashSet<>();
            for (int i = 0; i < 20; i++) {
                Awaitility.await().until(() -> bench.storage.held.size() == 1);
                bench.disk.home().submit(() -> {}).sync();
                assertThat(bench.loops.budget().usedBytes()).isEqualTo(8192);
                bench.storage.held.remove(0).complete(BlockStatus.OK);
                Answer answer = guest.await(1).get(0);
                assertThat(answer.status()).isZero();
                answered.add(answer.id());
            }
            assertThat(answered).hasSize(20);
            assertThat(bench.loops.budget().usedBytes()).isZero();
        }
    }

    @Test
    void requestsInFlightAreAnsweredBeforeTheDrainEnds() throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = bench.connect()) {
            bench.storage.hold = request -> request.op() == BlockOp.WRITE;
            for (int i = 0; i < 10; i++) {
                guest.request(WRITE, i, 0, 1, 0, 7);
            }
            guest.publish();
            Awaitility.await().until(() -> bench.storage.held.size() == 10);
            bench.tap.stopTaking().join();
            guest.request(WRITE, 10, 0, 1, 0, 7);
            guest.publish();
            var drained = bench.disk.drain();
            bench.disk.home().submit(() -> {}).sync();
            assertThat(drained).isNotDone();

            bench.storage.releaseAll(BlockStatus.OK);

            assertThat(drained.join()).isEqualTo(BlockStatus.OK);
            assertThat(guest.await(10)).extracting(Answer::status).containsOnly(0);
            assertThat(guest.poll())
                    .as("the request after the stop is left in the ring")
                    .isNull();
            assertThat(bench.storage.seen).endsWith("FLUSH").hasSize(11);
        }
    }

    @Test
    void requestsThatWaitForMemoryAreAnsweredBeforeTheDrainEnds() throws Exception {
        try (RingBench bench = new RingBench(directory, 8192, Feature.FLUSH);
                RawFrontend guest = bench.connect()) {
            bench.storage.hold = request -> request.op() == BlockOp.WRITE;
            guest.segmentInPage(1, 0, 12, 0, 7);
            guest.segmentInPage(1, 1, 11, 0, 7); // not side by side: needs a buffer, and there is memory for one
            for (int i = 0; i < 20; i++) {
                guest.indirect(WRITE, i, 0, 2, 1);
            }
            guest.publish();
            Awaitility.await().until(() -> bench.storage.held.size() == 1);
            bench.tap.stopTaking().join();
            var drained = bench.disk.drain();

            for (int i = 0; i < 20; i++) {
                assertThat(drained).isNotDone();
                Awaitility.await().until(() -> bench.storage.held.size() == 1);
                bench.storage.held.remove(0).complete(BlockStatus.OK);
            }

            assertThat(drained.join()).isEqualTo(BlockStatus.OK);
            assertThat(guest.await(20)).extracting(Answer::status).containsOnly(0);
            assertThat(bench.storage.seen).endsWith("FLUSH").hasSize(21);
        }
    }

    @Test
    void aBarrierThatWaitsIsAnsweredBeforeTheDrainEnds() throws Exception {
        try (RingBench bench = new RingBench(directory);
                RawFrontend guest = bench.connect()) {
            bench.storage.hold = request -> request.op() == BlockOp.READ;
            guest.request(READ, 1, 0, 2, 0, 7, 1, 0, 7); // not side by side: copied when the answers are flushed
            guest.request(BARRIER, 2, 0, 3, 0, 7);
            guest.publish();
            Awaitility.await().until(() -> bench.storage.held.size() == 1);
            bench.tap.stopTaking().join();
            var drained = bench.disk.drain();

            bench.storage.releaseAll(BlockStatus.OK);

            assertThat(drained.join()).isEqualTo(BlockStatus.OK);
            assertThat(bench.storage.seen).containsExactly("READ", "FLUSH", "WRITE+FUA", "FLUSH");
            assertThat(guest.await(2)).containsExactly(new Answer(1, READ, 0), new Answer(2, BARRIER, 0));
        }
    }

    @Test
    void aGuestThatGoesWhileItsRequestsWaitForMemoryLeavesNothing() throws Exception {
        try (RingBench bench = new RingBench(directory, 8192, Feature.FLUSH)) {
            bench.storage.hold = request -> request.op() == BlockOp.WRITE;
            try (RawFrontend guest = bench.connect()) {
                for (int i = 0; i < 5; i++) {
                    guest.request(WRITE, i, 0, 2, 0, 7, 1, 0, 7);
                }
                guest.publish();
                Awaitility.await().until(() -> bench.storage.held.size() == 1);
            }
            Awaitility.await().until(() -> !bench.loops.budget().isWaitedFor());
            bench.storage.releaseAll(BlockStatus.OK);

            Awaitility.await().until(() -> bench.disk.sessions().isEmpty());
            assertThat(bench.loops.budget().usedBytes()).isZero();
            assertThat(bench.storage.seen).containsExactly("WRITE");
            try (RawFrontend next = bench.connect()) {
                next.request(WRITE, 9, 0, 2, 0, 7, 1, 0, 7);
                next.publish();
                assertThat(next.await(1)).containsExactly(new Answer(9, WRITE, 0));
            }
        }
    }
}

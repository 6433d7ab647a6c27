package io.blocktap.pipeline.codec.blkif;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.codec.blkif.RawFrontend.Answer;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicBoolean;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a frontend can do wrong ends in an error for that request, or for that ring, and for nobody else. */
class HostileRingTest {
    private static final long ID = 0x1122334455667788L;
    private static final int OK = Blkif.BLKIF_RSP_OKAY;
    private static final int ERROR = Blkif.BLKIF_RSP_ERROR;
    private static final int EOPNOTSUPP = Blkif.BLKIF_RSP_EOPNOTSUPP;

    @TempDir
    Path directory;

    private RingBench bench;
    private RawFrontend hostile;
    private RawFrontend neighbour;

    @BeforeEach
    void connectTwo() throws Exception {
        bench = new RingBench(directory);
        hostile = bench.connect();
        neighbour = bench.connect();
    }

    @AfterEach
    void neighbourAndServerAreUnharmed() throws Exception {
        neighbour.request(Blkif.BLKIF_OP_READ, 7, 0, 1, 0, 7);
        assertThat(neighbour.ask()).isEqualTo(new Answer(7, Blkif.BLKIF_OP_READ, OK));
        hostile.close();
        neighbour.close();
        Awaitility.await().until(() -> bench.disk.sessions().isEmpty());
        assertThat(bench.buffersInUse()).isZero();
        bench.close();
    }

    private void hostileStillServed() {
        hostile.request(Blkif.BLKIF_OP_READ, 8, 0, 1, 0, 7);
        assertThat(hostile.ask()).isEqualTo(new Answer(8, Blkif.BLKIF_OP_READ, OK));
    }

    @Test
    void producerOverrunEndsThatRingOnly() {
        hostile.memory.putInt(BlkifLayout.REQ_PROD, 33);
        hostile.kick();

        Awaitility.await().until(hostile::isClosedByServer);
    }

    @Test
    void producerThatGoesBackEndsThatRingOnly() {
        hostileStillServed();

        hostile.memory.putInt(BlkifLayout.REQ_PROD, 0);
        hostile.kick();

        Awaitility.await().until(hostile::isClosedByServer);
    }

    @ParameterizedTest
    @CsvSource({
        "1, 5, 3", // first past last
        "1, 0, 8", // last past the page
        "1, 9, 9", // both past the page
        "1, 0, 255",
        "0, 0, 7", // the ring's own page
        "513, 0, 7", // past the last page
        "-1, 0, 7",
        "-2147483648, 0, 7",
    })
    void badSegmentIsAnErrorOfThatRequest(int gref, int first, int last) {
        hostile.request(Blkif.BLKIF_OP_WRITE, ID, 0, 1, 0, 7, gref, first, last);

        assertThat(hostile.ask()).isEqualTo(new Answer(ID, Blkif.BLKIF_OP_WRITE, ERROR));
        assertThat(bench.storage.seen).isEmpty();
        hostileStillServed();
    }

    @ParameterizedTest
    @CsvSource({"0, 0", "0, 12", "0, 255", "1, 0", "1, 12", "3, 12", "2, 255"})
    void badNumberOfSegmentsIsAnError(int operation, int count) {
        hostile.request(operation, ID, 0, 1, 0, 7);
        hostile.setSegmentCount(BlkifLayout.FIRST_SLOT, count);

        assertThat(hostile.ask()).isEqualTo(new Answer(ID, operation, ERROR));
        hostileStillServed();
    }

    @ParameterizedTest
    @CsvSource({
        "0, 8192", // the first sector past the end
        "0, 8191", // the last sector, eight sectors long
        "1, 8192",
        "0, 9223372036854775807",
        "1, -1",
        "0, 36028797018963968", // 2^55: times 512 it is 0 again
        "1, 18014398509481984", // 2^54
    })
    void rangePastTheEndIsAnError(int operation, long sector) {
        hostile.request(operation, ID, sector, 1, 0, 7);

        assertThat(hostile.ask()).isEqualTo(new Answer(ID, operation, ERROR));
        assertThat(bench.storage.seen).isEmpty();
        hostileStillServed();
    }

    @ParameterizedTest
    @CsvSource({"4", "7", "8", "127", "128", "255"})
    void unknownOperationIsNotSupported(int operation) {
        hostile.request(operation, ID, 0, 1, 0, 7);

        assertThat(hostile.ask()).isEqualTo(new Answer(ID, operation, EOPNOTSUPP));
        hostileStillServed();
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0, 100, -1", // no segments
        "0, 257, 100, -1", // more than were offered
        "1, 65535, 100, -1",
        "6, 1, 100, -1", // indirect in indirect
        "2, 1, 100, -1", // barrier
        "3, 1, 100, -1", // flush
        "0, 1, 0, -1", // the ring is no page of segments
        "0, 1, 100000, -1",
        "1, 1, -5, -1",
    })
    void indirectRequestThatLiesIsAnError(int inner, int count, int gref, int status) {
        hostile.segmentInPage(100, 0, 1, 0, 7);
        hostile.indirect(inner, ID, 0, count, gref);

        assertThat(hostile.ask()).isEqualTo(new Answer(ID, inner, status));
        hostileStillServed();
    }

    @Test
    void badSegmentInAnIndirectPageIsAnError() {
        for (int i = 0; i < 256; i++) {
            hostile.segmentInPage(100, i, 101 + i, 0, 7);
        }
        hostile.segmentInPage(100, 255, 1, 7, 0);
        hostile.indirect(Blkif.BLKIF_OP_WRITE, ID, 0, 256, 100);

        assertThat(hostile.ask()).isEqualTo(new Answer(ID, Blkif.BLKIF_OP_WRITE, ERROR));
        assertThat(bench.storage.seen).isEmpty();
        hostileStillServed();
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0, 0, -1", // nothing to discard
        "0, 8193, 0, -1", // one sector too many
        "8192, 1, 0, -1",
        "8, 9223372036854775807, 0, -1",
        "9223372036854775807, 8, 0, -1",
        "0, 8, 1, -2", // secure discard is not offered
        "0, 36028797018963969, 0, -1", // 2^55 + 1 sectors
    })
    void badDiscardIsRefused(long sector, long sectors, int flag, int status) {
        hostile.discard(ID, sector, sectors, flag);

        assertThat(hostile.ask()).isEqualTo(new Answer(ID, Blkif.BLKIF_OP_DISCARD, status));
        assertThat(bench.storage.seen).isEmpty();
        hostileStillServed();
    }

    @Test
    void writesToAReadOnlyDiskAreErrors() throws Exception {
        try (RingBench readOnly = new RingBench(
                java.nio.file.Files.createDirectory(directory.resolve("ro")), 1 << 20, Feature.READ_ONLY)) {
            try (RawFrontend guest = readOnly.connect()) {
                guest.request(Blkif.BLKIF_OP_WRITE, ID, 0, 1, 0, 7);
                assertThat(guest.ask()).isEqualTo(new Answer(ID, Blkif.BLKIF_OP_WRITE, ERROR));
                assertThat(readOnly.storage.seen).isEmpty();
            }
        }
    }

    @Test
    void slotRewrittenWhileItIsReadIsOneRequestOrTheOther() throws Exception {
        AtomicBoolean stop = new AtomicBoolean();
        Thread rewriter = new Thread(() -> {
            ByteBuffer ring = hostile.ring.memory();
            int slots = hostile.ring.slots();
            int count = 0;
            while (!stop.get()) {
                int slot = BlkifLayout.FIRST_SLOT + count++ % slots * 112;
                // number of segments, their sectors, and the sector number change under the reader's eyes
                ring.put(slot + 1, (byte) (count % 3 == 0 ? 200 : 1));
                ring.put(slot + hostile.layout.segment(0) + 5, (byte) (count % 2 == 0 ? 7 : 200));
                ring.putLong(slot + hostile.layout.sectorNumber(), count % 5 == 0 ? Long.MAX_VALUE : 0);
            }
        });
        rewriter.start();
        try {
            for (int round = 0; round < 2000; round++) {
                for (int i = 0; i < 32; i++) {
                    hostile.request(Blkif.BLKIF_OP_WRITE, i, 0, 1 + i, 0, 7);
                }
                hostile.publish();
                // The rewriter may also have hit a slot that holds an answer already, so only their number counts.
                assertThat(hostile.await(32)).hasSize(32);
            }
        } finally {
            stop.set(true);
            rewriter.join();
        }
    }

    @Test
    void aMillionRandomSlotsGetAMillionAnswers() {
        long seed = 20051123;
        SplittableRandom random = new SplittableRandom(seed);
        int total = 1_000_000;
        int answered = 0;
        int[] byStatus = new int[3];
        while (answered < total) {
            long[] ids = new long[32];
            for (int i = 0; i < 32; i++) {
                ids[i] = putRandomSlot(random);
            }
            hostile.publish();
            for (Answer answer : spin(32)) {
                assertThat(ids).as("seed %d", seed).contains(answer.id());
                assertThat(answer.status()).as("seed %d", seed).isBetween(-2, 0);
                byStatus[-answer.status()]++;
            }
            answered += 32;
        }
        // The generator is of use only if it comes through to the disk, and is refused, often enough.
        assertThat(byStatus[0]).isGreaterThan(total / 20);
        assertThat(byStatus[1]).isGreaterThan(total / 20);
        assertThat(byStatus[2]).isGreaterThan(total / 100);
        hostileStillServed();
    }

    private Answer[] spin(int count) {
        Answer[] answers = new Answer[count];
        long deadline = System.nanoTime() + 20_000_000_000L;
        for (int i = 0; i < count; ) {
            Answer answer = hostile.poll();
            if (answer != null) {
                answers[i++] = answer;
            } else if (System.nanoTime() > deadline) {
                throw new AssertionError("only " + i + " of " + count + " requests were answered");
            } else {
                Thread.onSpinWait();
            }
        }
        return answers;
    }

    /** Random bytes, bent towards what is nearly right so that every check is reached. */
    private long putRandomSlot(SplittableRandom random) {
        int slot = hostile.ring.put();
        ByteBuffer ring = hostile.ring.memory();
        for (int i = 0; i < 112; i += 8) {
            ring.putLong(slot + i, random.nextLong());
        }
        long id = ring.getLong(slot + hostile.layout.id());
        if (random.nextInt(10) > 0) {
            ring.put(slot, (byte) random.nextInt(random.nextBoolean() ? 2 : 8));
            ring.put(slot + 1, (byte) random.nextInt(13));
        }
        if (random.nextInt(3) > 0) {
            ring.putLong(slot + hostile.layout.sectorNumber(), random.nextInt(8200));
        }
        if (random.nextInt(3) > 0) {
            for (int i = 0; i < 11; i++) {
                int at = slot + hostile.layout.segment(i);
                ring.putInt(at, 1 + random.nextInt(random.nextInt(50) == 0 ? 600 : 512));
                int first = random.nextInt(8);
                ring.put(at + 4, (byte) first);
                ring.put(at + 5, (byte)
                        (random.nextInt(50) == 0 ? random.nextInt() : first + random.nextInt(8 - first)));
            }
        }
        if (ring.get(slot) == Blkif.BLKIF_OP_INDIRECT && random.nextBoolean()) {
            ring.put(slot + 1, (byte) random.nextInt(2));
            ring.putShort(slot + 2, (short) (1 + random.nextInt(8)));
            int page = 1 + random.nextInt(512);
            ring.putInt(slot + hostile.layout.indirectGref(0), page);
            for (int i = 0; i < 8 && random.nextInt(4) > 0; i++) {
                hostile.segmentInPage(page, i, 1 + random.nextInt(512), random.nextInt(4), 4 + random.nextInt(4));
            }
        }
        return id;
    }

    @Test
    void memoryStaysMappedWhileAStolenRequestOfADeadFrontendUsesIt() throws Exception {
        int before = MappedRegion.liveRegions();
        RawFrontend dying = bench.connect();
        bench.storage.hold = request -> true;
        dying.request(Blkif.BLKIF_OP_READ, ID, 0, 1, 0, 7);
        dying.publish();
        Awaitility.await().until(() -> bench.storage.held.size() == 1);

        dying.close();

        Awaitility.await().until(() -> bench.loops.budget().usedBytes() == 0);
        assertThat(MappedRegion.liveRegions())
                .as("the request holds the mapping")
                .isEqualTo(before + 1);
        bench.storage.held.get(0).data().setLong(0, 42);
        bench.storage.releaseAll(io.blocktap.pipeline.BlockStatus.OK);
        Awaitility.await().until(() -> MappedRegion.liveRegions() == before);
    }
}

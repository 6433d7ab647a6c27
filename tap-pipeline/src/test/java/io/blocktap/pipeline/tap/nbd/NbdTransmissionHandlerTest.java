package io.blocktap.pipeline.tap.nbd;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.WHEN_RELEASED;
import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.codec.nbd.Nbd;
import io.blocktap.pipeline.codec.nbd.NbdRequest;
import io.blocktap.pipeline.socket.SocketLimits;
import io.blocktap.pipeline.socket.TransmissionHandler;
import io.blocktap.pipeline.testkit.ReferenceDisk.Answering;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Requests in, replies out. */
final class NbdTransmissionHandlerTest {
    private static final int SIZE = 4 << 20;
    private static final Geometry FULL =
            Geometry.ofSize(SIZE, Feature.FLUSH, Feature.FUA, Feature.DISCARD, Feature.WRITE_ZEROES, Feature.FAST_ZERO);

    private final Frames frames = new Frames();

    private static TransmissionHarness harness(Answering answering) throws Exception {
        return new TransmissionHarness(FULL, answering, TransmissionHarness.LIMITS);
    }

    private static byte[] noise(Random random, int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }

    private static void assertErrnos(TransmissionHarness harness, Integer... errnos) {
        assertThat(harness.answers()).extracting(Frames.Answer::errno).containsExactly(errnos);
    }

    // ---- however the bytes are split

    /** What one random request is expected to bring about. */
    private record Expected(int errno, byte[] data) {}

    @ParameterizedTest
    @EnumSource(value = Answering.class, names = "FROM_WORKERS", mode = EnumSource.Mode.EXCLUDE)
    void answersTheSameHoweverTheBytesAreSplit(Answering answering) throws Exception {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        for (int round = 0; round < 25; round++) {
            try (TransmissionHarness harness = harness(answering)) {
                random.nextBytes(harness.reference.content());
                byte[] model = harness.reference.content().clone();
                Map<Long, Expected> expected = new HashMap<>();
                byte[] stream = randomRequests(harness, model, random, expected);
                Map<Long, Frames.Answer> answers = new HashMap<>();
                int most = 1 << 4 + random.nextInt(16);
                for (int done = 0; done < stream.length; ) {
                    int now = Math.min(stream.length - done, 1 + random.nextInt(most));
                    harness.receive(Arrays.copyOfRange(stream, done, done + now));
                    done += now;
                    if (random.nextInt(8) == 0) {
                        harness.reference.release();
                    }
                    harness.answers().forEach(answer -> answers.put(answer.cookie(), answer));
                }
                while (harness.reference.held() > 0) {
                    harness.reference.release();
                    harness.answers().forEach(answer -> answers.put(answer.cookie(), answer));
                }
                String where = "seed " + seed + ", round " + round;
                assertThat(answers.keySet()).as(where).isEqualTo(expected.keySet());
                expected.forEach((cookie, wanted) -> {
                    assertThat(answers.get(cookie).errno())
                            .as("%s, cookie %d", where, cookie)
                            .isEqualTo(wanted.errno);
                    assertThat(Arrays.equals(answers.get(cookie).data(), wanted.data))
                            .as("%s, data of cookie %d", where, cookie)
                            .isTrue();
                });
                assertThat(Arrays.equals(harness.reference.content(), model))
                        .as(where)
                        .isTrue();
            }
        }
    }

    /** Each request has a part of the disk of its own, so that their order does not matter. */
    private byte[] randomRequests(
            TransmissionHarness harness, byte[] model, Random random, Map<Long, Expected> expected) {
        byte[] none = new byte[0];
        int place = 0;
        for (long cookie = 1; cookie <= 60; cookie++) {
            int length = 1 + random.nextInt(random.nextInt(10) == 0 ? 150_000 : 9000);
            if (place + length > SIZE) {
                break;
            }
            switch (random.nextInt(9)) {
                case 0, 1, 2 -> {
                    frames.read(cookie, place, length);
                    harness.expectData(cookie, length);
                    expected.put(cookie, new Expected(0, Arrays.copyOfRange(model, place, place + length)));
                }
                case 3, 4, 5 -> {
                    byte[] data = noise(random, length);
                    frames.write(cookie, place, data);
                    System.arraycopy(data, 0, model, place, length);
                    expected.put(cookie, new Expected(0, none));
                }
                case 6 -> {
                    frames.request(1, Nbd.CMD_WRITE_ZEROES, cookie, place, length);
                    Arrays.fill(model, place, place + length, (byte) 0);
                    expected.put(cookie, new Expected(0, none));
                }
                case 7 -> {
                    frames.write(cookie, SIZE - length + 1L, noise(random, length));
                    expected.put(cookie, new Expected(Nbd.ENOSPC, none));
                }
                default -> {
                    frames.flush(cookie);
                    expected.put(cookie, new Expected(0, none));
                }
            }
            place += length;
        }
        return frames.take();
    }

    // ---- what is wrong with a request concerns only that request

    @Test
    void takesThePayloadOfARefusedWriteBeforeItAnswers() throws Exception {
        try (TransmissionHarness harness = harness(AT_ONCE)) {
            byte[] lookalike = frames.read(99, 0, 16).take();
            byte[] bytes = frames.write(1, SIZE, lookalike).flush(2).take();

            harness.receive(Arrays.copyOf(bytes, NbdRequest.BYTES + 5));
            assertThat(harness.answers()).isEmpty();
            harness.receive(Arrays.copyOfRange(bytes, NbdRequest.BYTES + 5, bytes.length));

            assertThat(harness.answers()).extracting(Frames.Answer::cookie).containsExactly(1L, 2L);
            assertThat(harness.reference.seen(BlockOp.WRITE)).isZero();
        }
    }

    @Test
    void answersEmptyRequestsWithoutTheDisk() throws Exception {
        try (TransmissionHarness harness = harness(AT_ONCE)) {
            harness.receive(frames.read(1, 0, 0)
                    .write(2, 0, new byte[0])
                    .request(0, Nbd.CMD_TRIM, 3, 0, 0)
                    .read(4, SIZE + 1, 0)
                    .take());

            assertErrnos(harness, 0, 0, 0, Nbd.EINVAL);
            assertThat(harness.reference.seen(BlockOp.READ)).isZero();
        }
    }

    @Test
    void reportsWhatTheDiskSays() throws Exception {
        try (TransmissionHarness harness = harness(AT_ONCE)) {
            harness.reference.failNext(BlockOp.READ, BlockStatus.IO_ERROR);
            harness.reference.failNext(BlockOp.WRITE, BlockStatus.NO_SPACE);
            harness.reference.failNext(BlockOp.WRITE_ZEROES, BlockStatus.UNSUPPORTED);
            harness.expectData(4, 8192);

            harness.receive(frames.read(1, 0, 4096)
                    .write(2, 0, new byte[10])
                    .request(16, Nbd.CMD_WRITE_ZEROES, 3, 0, 10)
                    .read(4, 0, 8192)
                    .take());

            assertErrnos(harness, Nbd.EIO, Nbd.ENOSPC, Nbd.ENOTSUP, 0);
        }
    }

    @Test
    void skipsAPayloadThatIsTooLargeAndGoesOn() throws Exception {
        try (TransmissionHarness harness = harness(AT_ONCE)) {
            long length = Nbd.MAX_PAYLOAD_BYTES + 1L;
            harness.receive(frames.request(0, Nbd.CMD_WRITE, 1, 0, length).take());
            byte[] piece = new byte[1 << 20];
            for (long left = length; left > 0; left -= piece.length) {
                assertThat(harness.answers()).isEmpty();
                harness.receive(left < piece.length ? new byte[(int) left] : piece);
            }
            harness.receive(frames.flush(2).take());

            assertErrnos(harness, Nbd.ENOSPC, 0);
            assertThat(harness.channel.isOpen()).isTrue();
        }
    }

    @Test
    void closesOnAPayloadThatIsTooLargeToSkip() throws Exception {
        try (TransmissionHarness harness = harness(AT_ONCE)) {
            harness.receive(frames.request(0, Nbd.CMD_WRITE, 1, 0, 0xffff_ffffL)
                    .flush(2)
                    .take());

            assertThat(harness.channel.isOpen()).isFalse();
            assertThat(harness.answers()).isEmpty();
        }
    }

    @Test
    void closesOnAWrongMagicNumber() throws Exception {
        try (TransmissionHarness harness = harness(AT_ONCE)) {
            byte[] bytes = frames.flush(1).take();
            bytes[0] ^= 1;

            harness.receive(Arrays.copyOf(bytes, 2 * bytes.length));

            assertThat(harness.channel.isOpen()).isFalse();
            assertThat(harness.answers()).isEmpty();
        }
    }

    // ---- back pressure

    @Test
    void takesNoMoreRequestsThanAllowedAndGoesOnLater() throws Exception {
        NbdLimits four = new NbdLimits(
                new SocketLimits(1, new TransmissionHandler.Limits(4, 64 << 20, Duration.ofSeconds(30))),
                Duration.ofSeconds(10));
        try (TransmissionHarness harness = new TransmissionHarness(FULL, WHEN_RELEASED, four)) {
            for (int i = 1; i <= 10; i++) {
                frames.read(i, i * 512, 512);
                harness.expectData(i, 512);
            }
            harness.receive(frames.take());
            assertThat(harness.reference.held()).isEqualTo(4);
            assertThat(harness.isReading()).isFalse();

            harness.reference.release();

            assertThat(harness.answers()).hasSize(10);
            assertThat(harness.isReading()).isTrue();
        }
    }

    @Test
    void takesNoMoreBytesThanAllowedAndGoesOnLater() throws Exception {
        NbdLimits bytes = new NbdLimits(
                new SocketLimits(1, new TransmissionHandler.Limits(256, 10_000, Duration.ofSeconds(30))),
                Duration.ofSeconds(10));
        try (TransmissionHarness harness = new TransmissionHarness(FULL, WHEN_RELEASED, bytes)) {
            byte[] large = new byte[300_000];
            harness.receive(
                    frames.write(1, 0, large).write(2, 0, large).flush(3).take());
            assertThat(harness.reference.held())
                    .as("one may be larger than the bound")
                    .isEqualTo(1);
            assertThat(harness.isReading()).isFalse();

            harness.reference.release();
            assertErrnos(harness, 0);
            assertThat(harness.reference.held()).isEqualTo(1);
            harness.reference.release();
            assertErrnos(harness, 0);
            harness.reference.release();
            assertErrnos(harness, 0);
            assertThat(harness.isReading()).isTrue();
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {Nbd.CMD_READ, Nbd.CMD_WRITE})
    void waitsForMemoryAndGoesOnWhenItIsGivenBack(int type) throws Exception {
        try (TransmissionHarness harness = harness(AT_ONCE)) {
            int length = 600_000;
            assertThat(harness.budget().tryTake(TransmissionHarness.BUDGET)).isTrue();
            if (type == Nbd.CMD_READ) {
                frames.read(1, 0, length).flush(2);
                harness.expectData(1, length);
            } else {
                frames.write(1, 0, new byte[length]).flush(2);
            }
            byte[] bytes = frames.take();
            harness.receive(Arrays.copyOf(bytes, 50));
            harness.receive(Arrays.copyOfRange(bytes, 50, bytes.length));
            assertThat(harness.answers()).isEmpty();
            assertThat(harness.isReading()).isFalse();

            harness.budget().giveBack(1); // not enough: asks again
            assertThat(harness.answers()).isEmpty();
            harness.budget().giveBack(TransmissionHarness.BUDGET - 1);

            assertErrnos(harness, 0, 0);
            assertThat(harness.isReading()).isTrue();
        }
    }

    @Test
    void takesNoRequestsWhileTheClientTakesNoReplies() throws Exception {
        try (TransmissionHarness harness = harness(AT_ONCE)) {
            harness.channel.unsafe().outboundBuffer().setUserDefinedWritability(1, false);
            harness.receive(frames.flush(1).flush(2).take());
            assertThat(harness.reference.seen(BlockOp.FLUSH)).isZero();
            assertThat(harness.isReading()).isFalse();

            harness.channel.unsafe().outboundBuffer().setUserDefinedWritability(1, true);

            assertErrnos(harness, 0, 0);
            assertThat(harness.isReading()).isTrue();
        }
    }

    @Test
    void keepsItsMemorySmallWhenManyRequestsAreHeld() throws Exception {
        NbdLimits many = new NbdLimits(
                new SocketLimits(1, new TransmissionHandler.Limits(4096, 64 << 20, Duration.ofSeconds(30))),
                Duration.ofSeconds(10));
        try (TransmissionHarness harness = new TransmissionHarness(FULL, WHEN_RELEASED, many)) {
            Random random = new Random(1);
            byte[] model = harness.reference.content().clone();
            for (int i = 0; i < 1000; i++) {
                byte[] data = noise(random, 3000);
                System.arraycopy(data, 0, model, i * 3000, 3000);
                harness.receive(frames.write(i, i * 3000, data)
                        .read(10_000 + i, i, 3000)
                        .take());
                harness.expectData(10_000 + i, 3000);
            }
            assertThat(harness.reference.held()).isEqualTo(2000);
            // Four chunks in each direction at most; the rest counts against the budget.
            assertThat(harness.budget().usedBytes()).isGreaterThan(2000 * 4096 - 8 * (256 << 10));

            harness.reference.release();

            assertThat(harness.answers()).hasSize(2000).allMatch(answer -> answer.errno() == 0);
            assertThat(Arrays.equals(harness.reference.content(), model)).isTrue();
        }
    }

    // ---- the end

    @Test
    void answersWhatIsInFlightBeforeItDisconnects() throws Exception {
        try (TransmissionHarness harness = harness(WHEN_RELEASED)) {
            harness.receive(frames.flush(1).disconnect().flush(2).take());
            assertThat(harness.channel.isOpen()).isTrue();

            harness.reference.release();

            assertErrnos(harness, 0);
            assertThat(harness.channel.isOpen()).isFalse();
            assertThat(harness.reference.seen(BlockOp.FLUSH)).isEqualTo(1);
        }
    }

    @Test
    void refusesNewRequestsWhileTheServerGoesDown() throws Exception {
        try (TransmissionHarness harness = harness(WHEN_RELEASED)) {
            byte[] write = frames.write(2, 0, new byte[100_000]).take();
            harness.receive(frames.flush(1).take());
            harness.receive(Arrays.copyOf(write, 50_000));
            harness.stopping = true;
            harness.receive(Arrays.copyOfRange(write, 50_000, write.length));
            harness.receive(frames.read(3, 0, 512).flush(4).take());

            List<Integer> errnos = new ArrayList<>();
            harness.answers().forEach(answer -> errnos.add(answer.errno()));
            harness.reference.release();
            harness.answers().forEach(answer -> errnos.add(answer.errno()));

            assertThat(errnos).containsExactly(Nbd.ESHUTDOWN, Nbd.ESHUTDOWN, Nbd.ESHUTDOWN, 0);
            harness.channel.pipeline().fireUserEventTriggered(TransmissionHandler.CLOSE);
            assertThat(harness.channel.isOpen()).isFalse();
        }
    }

    @Test
    void settlesWhatIsInFlightWhenTheClientIsGone() throws Exception {
        try (TransmissionHarness harness = harness(WHEN_RELEASED)) {
            byte[] cutOff = frames.read(1, 0, 4096)
                    .write(2, 0, new byte[5000])
                    .write(3, 0, new byte[100_000])
                    .take();
            harness.receive(Arrays.copyOf(cutOff, cutOff.length - 1));

            harness.channel.close();
            harness.reference.release();

            assertThat(harness.reference.seen(BlockOp.WRITE)).isEqualTo(1);
            assertThat(harness.answers()).isEmpty();
        }
    }
}

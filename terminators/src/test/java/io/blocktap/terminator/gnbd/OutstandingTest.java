package io.blocktap.terminator.gnbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.blocktap.pipeline.codec.gnbd.GnbdControl;
import io.blocktap.pipeline.socket.SocketMemory;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.StageHarness;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** The queue of parts against a list that is simple enough to be right. */
final class OutstandingTest {
    private static final int STEPS = 20_000;

    /** A part as the model knows it. */
    private record Part(BlockRequest request, int startBytes) {}

    private final Outstanding outstanding = new Outstanding();
    private final List<Part> unsent = new ArrayList<>();
    private final List<Part> inFlight = new ArrayList<>();
    private final List<Piece> sent = new ArrayList<>();
    private final List<BlockRequest> requests = new ArrayList<>();
    private final DataConnection connection = new DataConnection(
            GnbdControl.login(1, "disk", "n"), new SocketMemory(), new OutgoingData(), new NoOwner());

    private static final class NoOwner implements DataConnection.Owner {
        @Override
        public Piece find(long handle, DataConnection from) {
            return null;
        }

        @Override
        public void answered(Piece piece, BlockStatus status) {}

        @Override
        public void broken(DataConnection broken, String reason, boolean isPeers) {}
    }

    private void add(BlockRequest request) {
        outstanding.add(request, 0);
        requests.add(request);
        for (int start = 0; start < request.dataLength(); start += Gnbd.MAX_DATA_BYTES) {
            unsent.add(new Part(request, start));
        }
    }

    private void send() {
        Piece piece = outstanding.takeUnsent();
        if (unsent.isEmpty()) {
            assertThat(piece).isNull();
            return;
        }
        Part expected = unsent.remove(0);
        assertThat(piece.request()).isSameAs(expected.request);
        assertThat(piece.startBytes).isEqualTo(expected.startBytes);
        assertThat(piece.lengthBytes)
                .isEqualTo(Math.min(Gnbd.MAX_DATA_BYTES, expected.request.dataLength() - expected.startBytes));
        long former = piece.handle();
        assertThat(piece.newHandle()).isNotEqualTo(former);
        assertThat(outstanding.find(piece.handle(), connection)).isNull();
        outstanding.sent(piece, connection);
        inFlight.add(expected);
        sent.add(piece);
    }

    private void answer(int index) {
        Piece piece = sent.remove(index);
        Part part = inFlight.remove(index);
        long handle = piece.handle();
        assertThat(outstanding.find(handle, connection)).isSameAs(piece);
        Transfer ended = outstanding.answered(piece, BlockStatus.OK);
        assertThat(outstanding.find(handle, connection)).isNull();
        boolean isLast = left(part.request) == 0;
        assertThat(ended != null).isEqualTo(isLast);
        if (ended != null) {
            assertThat(outstanding.end(ended)).isSameAs(part.request);
            requests.remove(part.request);
        }
    }

    private long left(BlockRequest request) {
        return unsent.stream().filter(part -> part.request == request).count()
                + inFlight.stream().filter(part -> part.request == request).count();
    }

    /** What was in flight is unsent again, in the order in which it came, before all that never was sent. */
    private void takeBack() {
        outstanding.takeBack();
        List<Part> back = new ArrayList<>();
        for (BlockRequest request : requests) {
            inFlight.stream()
                    .filter(part -> part.request == request)
                    .sorted(java.util.Comparator.comparingInt(Part::startBytes))
                    .forEach(back::add);
        }
        unsent.addAll(0, back);
        inFlight.clear();
        sent.clear();
    }

    private void abandonOldest() {
        takeBack();
        if (!requests.isEmpty()) {
            BlockRequest oldest = requests.remove(0);
            unsent.removeIf(part -> part.request == oldest);
            assertThat(outstanding.abandon(outstanding.oldest())).isSameAs(oldest);
        }
    }

    @Test
    void behavesAsAListWouldUnderRandomSteps() throws Exception {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        try (StageHarness harness = StageHarness.open(new ReferenceDisk(512, ReferenceDisk.Answering.AT_ONCE))) {
            for (int step = 0; step < STEPS; step++) {
                int what = random.nextInt(100);
                if (what < 30 && requests.size() < 200) {
                    int length = 1 + random.nextInt(random.nextInt(5) == 0 ? 5 * Gnbd.MAX_DATA_BYTES : 8192);
                    add(harness.client().stream().newRequest().describe(BlockOp.READ, 0, 0, length));
                } else if (what < 60) {
                    send();
                } else if (what < 97 && !sent.isEmpty()) {
                    answer(random.nextInt(sent.size()));
                } else if (what == 98) {
                    takeBack();
                } else if (what == 99) {
                    abandonOldest();
                }
                assertThat(outstanding.requests())
                        .as("step %d, seed %d", step, seed)
                        .isEqualTo(requests.size());
                assertThat(outstanding.inFlight())
                        .as("step %d, seed %d", step, seed)
                        .isEqualTo(inFlight.size());
                assertThat(outstanding.oldest() == null).isEqualTo(requests.isEmpty());
            }
            takeBack();
            assertThat(outstanding.again()).isLessThanOrEqualTo(unsent.size());
            assertThat(outstanding.abandonAll()).containsExactlyElementsOf(requests);
            assertThat(outstanding.again()).isZero();
        }
    }
}

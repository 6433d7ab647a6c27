package io.blocktap.transport.ring;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Random interleavings of both sides against a model: requests arrive once, in order and complete; responses reach their request; a side
 * that went to sleep is always notified when there is something for it. The indexes wrap around 2^32 on the way.
 */
class RingPropertyTest {
    private static final int STEPS = 40_000;

    static Stream<Arguments> rings() {
        List<Arguments> rings = new ArrayList<>();
        for (BlkifLayout layout : BlkifLayout.values()) {
            for (int pages = 1; pages <= BlkifLayout.MAX_RING_PAGES; pages *= 2) {
                rings.add(Arguments.of(layout, pages));
            }
        }
        return rings.stream();
    }

    @ParameterizedTest
    @MethodSource("rings")
    void losesNothing(BlkifLayout layout, int pages) {
        long seed = new Random().nextLong();
        try {
            new Model(layout, pages, new Random(seed)).run();
        } catch (Throwable t) {
            throw new AssertionError("seed " + seed + ", " + layout + ", " + pages + " pages: " + t, t);
        }
    }

    /** A ring with both its sides, and what each of them must see. */
    private static final class Model {
        private final Random random;
        private final BlkifLayout layout;
        private final FrontRing front;
        private final BackRing back;
        private final RingSlot slot;

        /** Put by the front and not shown yet; shown and not taken yet; taken and not answered yet. */
        private final ArrayDeque<Long> put = new ArrayDeque<>();

        private final ArrayDeque<Long> shown = new ArrayDeque<>();
        private final List<Long> taken = new ArrayList<>();
        private final ArrayDeque<Long> answered = new ArrayDeque<>();
        private final ArrayDeque<Long> answersShown = new ArrayDeque<>();
        private boolean backSleeps = true;
        private boolean frontSleeps = true;
        private int wakeUps;
        private long nextId = 1;

        Model(BlkifLayout layout, int pages, Random random) {
            this.random = random;
            this.layout = layout;
            ByteBuffer ring = ByteBuffer.allocateDirect(pages * 4096).order(ByteOrder.LITTLE_ENDIAN);
            int start = -random.nextInt(3000);
            ring.putInt(BlkifLayout.REQ_PROD, start).putInt(BlkifLayout.RSP_PROD, start);
            ring.putInt(BlkifLayout.REQ_EVENT, start + 1).putInt(BlkifLayout.RSP_EVENT, start + 1);
            front = new FrontRing(ring, layout, pages);
            back = new BackRing(ring, layout, pages);
            slot = new RingSlot(layout);
            assertThat(front.slots()).isEqualTo(back.slots());
        }

        void run() {
            int eagerness = 1 + random.nextInt(8);
            for (int step = 0; step < STEPS; step++) {
                switch (random.nextInt(7)) {
                    case 0 -> putRequests(random.nextInt(eagerness) + 1);
                    case 1 -> showRequests();
                    case 2, 3 -> backTurn(random.nextInt(2 * eagerness));
                    case 4 -> answerSome(random.nextInt(eagerness) + 1);
                    case 5 -> showAnswers();
                    default -> frontTurn(random.nextInt(2 * eagerness));
                }
                check();
            }
            finish();
            assertThat(wakeUps).as("notifications").isPositive();
        }

        private void putRequests(int count) {
            for (int i = 0; i < count && front.free() > 0; i++) {
                long id = nextId++;
                int at = front.put();
                ByteBuffer memory = front.memory();
                memory.put(at + BlkifLayout.OPERATION, (byte) Blkif.BLKIF_OP_READ);
                memory.put(at + BlkifLayout.NR_SEGMENTS, (byte) 11);
                memory.putLong(at + layout.id(), id);
                memory.putLong(at + layout.sectorNumber(), ~id);
                for (int segment = 0; segment < 11; segment++) {
                    memory.putLong(at + layout.segment(segment), id * 31 + segment);
                }
                put.add(id);
            }
        }

        private void showRequests() {
            boolean notify = front.publish();
            if (notify) {
                assertThat(put).as("requests behind a notification").isNotEmpty();
            }
            shown.addAll(put);
            put.clear();
            if (notify && backSleeps) {
                backSleeps = false;
                wakeUps++;
            }
        }

        private void backTurn(int most) {
            if (backSleeps) {
                return;
            }
            for (int i = 0; i < most; i++) {
                if (!back.next(slot)) {
                    assertThat(shown).isEmpty();
                    if (!back.arm()) {
                        backSleeps = true;
                    }
                    return;
                }
                checkRequest(shown.remove());
            }
            assertThat(back.hasRequests()).isEqualTo(!shown.isEmpty());
        }

        private void checkRequest(long id) {
            assertThat(slot.id()).isEqualTo(id);
            assertThat(slot.sectorNumber()).isEqualTo(~id);
            assertThat(slot.operation()).isEqualTo(Blkif.BLKIF_OP_READ);
            for (int segment = 0; segment < 11; segment++) {
                assertThat(slot.getLong(layout.segment(segment))).isEqualTo(id * 31 + segment);
            }
            taken.add(id);
        }

        private void answerSome(int count) {
            for (int i = 0; i < count && !taken.isEmpty(); i++) {
                long id = taken.remove(random.nextInt(taken.size()));
                back.respond(id, (int) (id & 0xff), (int) (id % 3) - 2, 0);
                answered.add(id);
            }
        }

        private void showAnswers() {
            boolean notify = back.publish();
            if (notify) {
                assertThat(answered).as("responses behind a notification").isNotEmpty();
            }
            answersShown.addAll(answered);
            answered.clear();
            if (notify && frontSleeps) {
                frontSleeps = false;
                wakeUps++;
            }
        }

        private void frontTurn(int most) {
            if (frontSleeps) {
                return;
            }
            for (int i = 0; i < most; i++) {
                int at = front.take();
                if (at < 0) {
                    assertThat(answersShown).isEmpty();
                    if (!front.arm()) {
                        frontSleeps = true;
                    }
                    return;
                }
                long id = answersShown.remove();
                assertThat(front.memory().getLong(at + BlkifLayout.RESPONSE_ID)).isEqualTo(id);
                assertThat(front.memory().get(at + BlkifLayout.RESPONSE_OPERATION))
                        .isEqualTo((byte) id);
                assertThat(front.memory().getShort(at + BlkifLayout.RESPONSE_STATUS))
                        .isEqualTo((short) (id % 3 - 2));
            }
        }

        private void check() {
            assertThat(back.inFlight()).isEqualTo(taken.size());
            assertThat(front.inFlight())
                    .isEqualTo(put.size() + shown.size() + taken.size() + answered.size() + answersShown.size());
            assertThat(front.free()).isEqualTo(front.slots() - front.inFlight());
            if (backSleeps) {
                assertThat(shown)
                        .as("requests that a sleeping backend was not told of")
                        .isEmpty();
            }
            if (frontSleeps) {
                assertThat(answersShown)
                        .as("responses that a sleeping frontend was not told of")
                        .isEmpty();
            }
        }

        private void finish() {
            while (front.inFlight() > 0) {
                showRequests();
                backTurn(Integer.MAX_VALUE);
                answerSome(Integer.MAX_VALUE);
                showAnswers();
                frontTurn(Integer.MAX_VALUE);
                check();
            }
        }
    }
}

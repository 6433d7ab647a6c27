package io.blocktap.transport.ring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Whatever store a backend dies at, the next one does again exactly what was taken and not answered. */
class InFlightTableTest {
    private static final InFlightTable.Owner OWNER = new InFlightTable.Owner(7, 51712, 3);
    private static final long NONCE = 0x1234_5678_9abc_def0L;

    /** The backend's end. */
    private static final class Crash extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Crash() {
            super("crash", null, false, false);
        }
    }

    /** Counts the stores into a table and dies at one of them, before or after it. */
    private static final class Fuse {
        /** Twice the number of the store, plus 1 if it is still done. */
        int crashAt = Integer.MAX_VALUE;

        int stores;

        void before() {
            if (stores * 2 == crashAt) {
                throw new Crash();
            }
        }

        void after() {
            if (stores++ * 2 + 1 == crashAt) {
                throw new Crash();
            }
        }
    }

    private static InFlightTable fused(ByteBuffer memory, int slots, Fuse fuse) {
        return new InFlightTable(memory, slots) {
            @Override
            void store(int offset, long value) {
                fuse.before();
                super.store(offset, value);
                fuse.after();
            }

            @Override
            void storeRelease(int offset, long value) {
                fuse.before();
                super.storeRelease(offset, value);
                fuse.after();
            }
        };
    }

    /**
     * A guest, a ring, a table, and backends one after another. Each request carries a token (its sector); its answer echoes the token, so that the guest knows which of
     * several requests with one id was answered.
     */
    private static final class World {
        final Random random;
        final BlkifLayout layout;
        final ByteBuffer ring = ByteBuffer.allocateDirect(4096).order(ByteOrder.LITTLE_ENDIAN);
        final ByteBuffer memory =
                ByteBuffer.allocateDirect(InFlightTable.sizeBytes(32)).order(ByteOrder.LITTLE_ENDIAN);
        final Fuse fuse = new Fuse();
        final FrontRing front;
        final RingSlot slot;
        BackRing back;

        /** What the guest waits for: token to id. */
        final Map<Long, Long> outstanding = new HashMap<>();

        /** Answers that the guest may have seen: these must never be done again. */
        final Set<Long> answered = new HashSet<>();

        final Map<Long, Integer> done = new HashMap<>();

        /** Taken by the present backend and not answered: token, id, entry. */
        final List<long[]> inHand = new ArrayList<>();

        int shownUpTo;
        long nextToken = 1;

        World(BlkifLayout layout, long seed) {
            this.layout = layout;
            random = new Random(seed);
            int start = -random.nextInt(40);
            for (int i = 0; i < memory.capacity(); i++) {
                memory.put(i, (byte) random.nextInt());
            }
            ring.putInt(BlkifLayout.REQ_PROD, start).putInt(BlkifLayout.RSP_PROD, start);
            ring.putInt(BlkifLayout.REQ_EVENT, start + 1).putInt(BlkifLayout.RSP_EVENT, start + 1);
            shownUpTo = start;
            front = new FrontRing(ring, layout, 1);
            slot = new RingSlot(layout);
            back = new BackRing(ring, layout, 1, InFlightTable.create(memory, OWNER, layout, 1, NONCE, start));
            restart(Integer.MAX_VALUE);
        }

        /** A new backend; dies itself at a store if it is told to. */
        void restart(int crashAt) {
            inHand.clear();
            fuse.stores = 0;
            fuse.crashAt = crashAt;
            InFlightTable table = fused(memory, 32, fuse);
            table.recoverAs(OWNER, layout, NONCE);
            back = new BackRing(ring, layout, 1, table);
            look();
        }

        void step() {
            switch (random.nextInt(6)) {
                case 0, 1 -> put(1 + random.nextInt(6));
                case 2 -> take(1 + random.nextInt(6));
                case 3 -> answer(1 + random.nextInt(4));
                case 4 -> {
                    back.publish();
                    look();
                }
                default -> collect();
            }
        }

        void put(int count) {
            for (int i = 0; i < count && front.free() > 0; i++) {
                long token = nextToken++;
                long id = random.nextInt(3); // the guest uses ids many times at once
                int at = front.put();
                ByteBuffer its = front.memory();
                its.put(at + BlkifLayout.OPERATION, (byte) Blkif.BLKIF_OP_WRITE);
                its.put(at + BlkifLayout.NR_SEGMENTS, (byte) 11);
                its.putLong(at + layout.id(), id).putLong(at + layout.sectorNumber(), token);
                for (int segment = 0; segment < 11; segment++) {
                    its.putLong(at + layout.segment(segment), token * 31 + segment);
                }
                outstanding.put(token, id);
            }
            front.publish();
        }

        void take(int count) {
            for (int i = 0; i < count && back.next(slot); i++) {
                long token = slot.sectorNumber();
                assertThat(outstanding).as("requests that wait").containsEntry(token, slot.id());
                assertThat(answered).as("requests that were answered").doesNotContain(token);
                assertThat(slot.operation()).isEqualTo(Blkif.BLKIF_OP_WRITE);
                for (int segment = 0; segment < 11; segment++) {
                    assertThat(slot.getLong(layout.segment(segment))).isEqualTo(token * 31 + segment);
                }
                done.merge(token, 1, Integer::sum);
                inHand.add(new long[] {token, slot.id(), slot.entry()});
            }
        }

        void answer(int count) {
            for (int i = 0; i < count && !inHand.isEmpty(); i++) {
                long[] its = inHand.remove(random.nextInt(inHand.size()));
                back.respond(its[1], (int) its[0] & 0xff, (short) (its[0] >> 8), (int) its[2]);
            }
        }

        /** What the ring shows the guest from now on is answered, whether it has looked or not. */
        void look() {
            int now = ring.getInt(BlkifLayout.RSP_PROD);
            for (; shownUpTo != now; shownUpTo++) {
                answered.add(tokenAt(BlkifLayout.FIRST_SLOT + (shownUpTo & 31) * layout.slotBytes()));
            }
        }

        private long tokenAt(int at) {
            return ring.get(at + BlkifLayout.RESPONSE_OPERATION) & 0xff
                    | ring.getShort(at + BlkifLayout.RESPONSE_STATUS) << 8;
        }

        void collect() {
            int at;
            while ((at = front.take()) >= 0) {
                long token = tokenAt(at);
                assertThat(outstanding.remove(token))
                        .as("the id of request %d, waiting", token)
                        .isEqualTo(ring.getLong(at + BlkifLayout.RESPONSE_ID));
            }
        }

        void finish() {
            while (!outstanding.isEmpty()) {
                int before = outstanding.size();
                take(64);
                answer(64);
                back.publish();
                look();
                collect();
                assertThat(outstanding.size())
                        .as("requests that are never answered")
                        .isLessThan(before);
            }
            assertThat(done.keySet()).hasSize((int) nextToken - 1);
        }
    }

    /** Runs until the end or a crash; returns the number of stores. */
    private static int run(BlkifLayout layout, long seed, int crashAt, int secondCrashAt) {
        World world = new World(layout, seed);
        world.fuse.stores = 0;
        world.fuse.crashAt = crashAt;
        boolean hasCrashed = false;
        for (int i = 0; i < 60; i++) {
            try {
                world.step();
            } catch (Crash e) {
                hasCrashed = true;
                world.look();
                try {
                    world.restart(secondCrashAt);
                } catch (Crash again) {
                    world.restart(Integer.MAX_VALUE);
                }
            }
        }
        int stores = world.fuse.stores;
        world.fuse.crashAt = Integer.MAX_VALUE;
        world.finish();
        if (!hasCrashed && crashAt == Integer.MAX_VALUE) {
            assertThat(world.done.values()).as("how often without a crash").containsOnly(1);
        }
        return stores;
    }

    @ParameterizedTest
    @EnumSource
    void nothingIsLostOrDoneAfterItsAnswerWhereverTheBackendDies(BlkifLayout layout) {
        long seed = new Random().nextLong();
        for (int round = 0; round < 12; round++, seed++) {
            int stores = run(layout, seed, Integer.MAX_VALUE, Integer.MAX_VALUE);
            Random random = new Random(seed);
            for (int crashAt = 0; crashAt < 2 * stores; crashAt++) {
                int second = random.nextBoolean() ? random.nextInt(200) : Integer.MAX_VALUE;
                try {
                    run(layout, seed, crashAt, second);
                } catch (Throwable t) {
                    throw new AssertionError(
                            "seed " + seed + ", " + layout + ", crashes at " + crashAt + " and " + second + ": " + t,
                            t);
                }
            }
        }
    }

    @Test
    void requestsInFlightComeAgainInTheirOrderBeforeNewOnes() {
        World world = new World(BlkifLayout.X86_64, 1);
        world.put(6);
        world.take(4);
        Collections.reverse(world.inHand);
        world.answer(1);
        world.back.publish();
        world.look();
        world.restart(Integer.MAX_VALUE);
        List<Long> expected = new ArrayList<>(List.of(1L, 2L, 3L, 4L, 5L, 6L));
        expected.removeAll(world.answered);

        assertThat(world.back.inFlight()).isEqualTo(3);
        world.take(64);

        assertThat(world.inHand.stream().map(each -> each[0])).containsExactlyElementsOf(expected);
    }

    @Test
    void responseThatWasAboutToBeShownIsShownAndNotDoneAgain() {
        World world = new World(BlkifLayout.X86_64, 2);
        world.put(1);
        world.take(1);
        world.answer(1);
        int before = world.ring.getInt(BlkifLayout.RSP_PROD);
        world.fuse.stores = 0;
        world.fuse.crashAt = 1; // right after the table's word, before the ring's

        assertThatThrownBy(world.back::publish).isInstanceOf(Crash.class);
        assertThat(world.ring.getInt(BlkifLayout.RSP_PROD)).isEqualTo(before);
        world.restart(Integer.MAX_VALUE);

        assertThat(world.ring.getInt(BlkifLayout.RSP_PROD)).isEqualTo(before + 1);
        assertThat(world.back.next(world.slot)).isFalse();
        world.collect();
        assertThat(world.outstanding).isEmpty();
    }

    @Test
    void failedFlushIsRemembered() {
        World world = new World(BlkifLayout.X86_64, 3);
        world.back.fence();

        world.restart(Integer.MAX_VALUE);

        assertThat(world.back.isFenced()).isTrue();
    }

    @ParameterizedTest
    @CsvSource({"8, 0", "1, 51712", "1, 51713"})
    void tableOfAnotherRingIsRefused(int domid, int device) {
        World world = new World(BlkifLayout.X86_64, 4);
        InFlightTable.Owner other = new InFlightTable.Owner(domid, device, 3);

        assertThatThrownBy(() -> InFlightTable.open(world.memory, other, BlkifLayout.X86_64, 1, NONCE))
                .isInstanceOf(RingProtocolException.class)
                .hasMessageContaining("of another ring");
    }

    @Test
    void tableOfAnEarlierRingOfTheSameFrontendIsRefused() {
        World world = new World(BlkifLayout.X86_64, 5);

        assertThatThrownBy(() -> InFlightTable.open(world.memory, OWNER, BlkifLayout.X86_64, 1, NONCE + 1))
                .hasMessageContaining("its nonce is 0x");
        assertThatThrownBy(() -> InFlightTable.open(world.memory, OWNER, BlkifLayout.X86_32, 1, NONCE))
                .hasMessageContaining("version or layout");
        assertThatThrownBy(() -> InFlightTable.open(world.memory, OWNER, BlkifLayout.X86_64, 2, NONCE))
                .hasMessageContaining("this ring's has");
    }

    @Test
    void tableThatWasTamperedWithIsRefusedOrDoesNoHarm() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        int refused = 0;
        for (int i = 0; i < 3000; i++) {
            World world = new World(BlkifLayout.X86_64, seed + i);
            world.put(8);
            world.take(5);
            int at = random.nextBoolean()
                    ? 64 + 8 * random.nextInt(2)
                    : 4096 + 128 * random.nextInt(32) + 8 * random.nextInt(2);
            world.memory.putLong(at, random.nextBoolean() ? random.nextLong() : random.nextInt(64));
            @Nullable BackRing back = null;
            try {
                back = new BackRing(
                        world.ring, world.layout, 1, InFlightTable.open(world.memory, OWNER, world.layout, 1, NONCE));
            } catch (RingProtocolException e) {
                refused++;
            }
            if (back != null) {
                int taken = 0;
                try {
                    while (back.next(world.slot)) {
                        taken++;
                    }
                } catch (RingProtocolException e) {
                    refused++;
                }
                assertThat(taken).as("seed %d, %d", seed, i).isLessThanOrEqualTo(64);
            }
        }
        assertThat(refused).isPositive();
    }

    @Test
    void frontendThatRunsAheadOfWhatIsPublishedStopsItsRing() {
        World world = new World(BlkifLayout.X86_64, 6);
        int start = world.ring.getInt(BlkifLayout.RSP_PROD);
        world.ring.putInt(BlkifLayout.REQ_PROD, start + 32);
        for (int i = 0; i < 32; i++) {
            assertThat(world.back.next(world.slot)).isTrue();
        }
        world.back.respond(0, 0, 0, world.slot.entry());
        world.ring.putInt(BlkifLayout.REQ_PROD, start + 33);

        assertThatThrownBy(() -> world.back.next(world.slot))
                .isInstanceOf(RingProtocolException.class)
                .hasMessageContaining("past the published rsp_prod");
    }

    @Test
    void frontendWhoseIndexContradictsTheTableIsRefused() {
        World world = new World(BlkifLayout.X86_64, 7);
        world.put(4);
        world.take(4);
        world.ring.putInt(BlkifLayout.REQ_PROD, world.ring.getInt(BlkifLayout.REQ_PROD) - 2);

        assertThatThrownBy(() -> world.restart(Integer.MAX_VALUE))
                .isInstanceOf(RingProtocolException.class)
                .hasMessageContaining("went back");
    }
}

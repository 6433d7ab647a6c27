package io.blocktap.transport.ring;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a frontend that lies can do to its ring, and what it can not. */
class HostileRingTest {
    private final ByteBuffer memory = ByteBuffer.allocateDirect(4096).order(ByteOrder.LITTLE_ENDIAN);

    private BackRing attach(BlkifLayout layout, int reqProd, int rspProd) {
        memory.putInt(BlkifLayout.REQ_PROD, reqProd).putInt(BlkifLayout.RSP_PROD, rspProd);
        return new BackRing(memory, layout, 1);
    }

    private static int slotAt(BlkifLayout layout, int index) {
        return BlkifLayout.FIRST_SLOT + (index & 31) * layout.slotBytes();
    }

    @ParameterizedTest
    @EnumSource
    void stopsWhenProducerOverruns(BlkifLayout layout) {
        BackRing ring = attach(layout, 0, 0);
        memory.putInt(BlkifLayout.REQ_PROD, 33);

        assertThatThrownBy(() -> ring.next(new RingSlot(layout)))
                .isInstanceOf(RingProtocolException.class)
                .hasMessage("req_prod 33 is 33 past rsp_prod 0; the ring has 32 slots");
    }

    @ParameterizedTest
    @EnumSource
    void stopsWhenProducerOverrunsWithRequestsInFlight(BlkifLayout layout) {
        BackRing ring = attach(layout, -10, -10);
        memory.putInt(BlkifLayout.REQ_PROD, 22);
        RingSlot slot = new RingSlot(layout);
        for (int i = 0; i < 32; i++) {
            assertThat(ring.next(slot)).isTrue();
        }
        assertThat(ring.next(slot)).isFalse();
        memory.putInt(BlkifLayout.REQ_PROD, 23);
        assertThatThrownBy(() -> ring.next(slot)).isInstanceOf(RingProtocolException.class);

        ring.respond(1, 0, 0, 0); // a response makes room for one, published or not
        assertThat(ring.next(slot)).isTrue();
    }

    @ParameterizedTest
    @EnumSource
    void stopsWhenProducerGoesBack(BlkifLayout layout) {
        BackRing ring = attach(layout, 0, 0);
        RingSlot slot = new RingSlot(layout);
        memory.putInt(BlkifLayout.REQ_PROD, 5);
        for (int i = 0; i < 5; i++) {
            ring.next(slot);
        }
        memory.putInt(BlkifLayout.REQ_PROD, 3);

        assertThatThrownBy(() -> ring.next(slot))
                .isInstanceOf(RingProtocolException.class)
                .hasMessage("req_prod went back to 3 from 5");
        memory.putInt(BlkifLayout.REQ_PROD, -1);
        assertThatThrownBy(() -> ring.next(slot)).isInstanceOf(RingProtocolException.class);
    }

    @ParameterizedTest
    @EnumSource
    void refusesToAttachToInconsistentIndexes(BlkifLayout layout) {
        assertThatThrownBy(() -> attach(layout, 33, 0)).isInstanceOf(RingProtocolException.class);
        assertThatThrownBy(() -> attach(layout, 0, 1)).isInstanceOf(RingProtocolException.class);
        assertThatThrownBy(() -> attach(layout, Integer.MIN_VALUE, 0)).isInstanceOf(RingProtocolException.class);
        assertThatThrownBy(() -> attach(layout, 28, -5)).isInstanceOf(RingProtocolException.class);
    }

    @ParameterizedTest
    @EnumSource
    void attachesToRingOfEarlierBackend(BlkifLayout layout) {
        BackRing ring = attach(layout, 27, -5);
        for (int i = -5; i < 27; i++) {
            memory.putLong(slotAt(layout, i) + layout.id(), i);
        }
        RingSlot slot = new RingSlot(layout);

        for (int i = -5; i < 27; i++) {
            assertThat(ring.next(slot)).isTrue();
            assertThat(slot.id()).isEqualTo(i);
        }
        assertThat(ring.next(slot)).isFalse();
    }

    @ParameterizedTest
    @EnumSource
    void doesNotSeeWhatIsWrittenAfterTheCopy(BlkifLayout layout) {
        BackRing ring = attach(layout, 0, 0);
        memory.put(slotAt(layout, 0), (byte) Blkif.BLKIF_OP_WRITE).put(slotAt(layout, 0) + 1, (byte) 11);
        memory.putLong(slotAt(layout, 0) + layout.id(), 77);
        memory.putInt(BlkifLayout.REQ_PROD, 1);
        RingSlot slot = new RingSlot(layout);
        ring.next(slot);
        byte[] copy = new byte[layout.slotBytes()];
        slot.copyTo(copy);

        for (int i = 0; i < layout.slotBytes(); i++) {
            memory.put(slotAt(layout, 0) + i, (byte) 0xff);
        }

        byte[] after = new byte[layout.slotBytes()];
        slot.copyTo(after);
        assertThat(after).isEqualTo(copy);
        assertThat(slot.operation()).isEqualTo(Blkif.BLKIF_OP_WRITE);
        assertThat(slot.id()).isEqualTo(77);
    }

    @ParameterizedTest
    @EnumSource
    void copiesAllThatEachKindOfRequestUses(BlkifLayout layout) {
        BackRing ring = attach(layout, 0, 0);
        byte[] random = new byte[layout.slotBytes()];
        for (int operation = 0; operation < 256; operation++) {
            new Random(operation).nextBytes(random);
            random[0] = (byte) operation;
            random[1] = (byte) (operation * 7);
            memory.put(slotAt(layout, operation), random);
            memory.putInt(BlkifLayout.REQ_PROD, operation + 1);
            RingSlot slot = new RingSlot(layout);
            assertThat(ring.next(slot)).isTrue();
            ring.respond(0, 0, 0, 0);

            int used = switch (operation) {
                case 0, 1, 2, 3 -> layout.segment(Math.min(random[1] & 0xff, 11));
                case 5 -> layout.discardNrSectors() + 8;
                case 6 -> layout.indirectGref(8);
                default -> layout.segment(0);
            };
            byte[] copy = new byte[used];
            slot.copyTo(copy);
            assertThat(copy).as("operation %d", operation).isEqualTo(java.util.Arrays.copyOf(random, used));
        }
    }

    @ParameterizedTest
    @EnumSource
    void zeroesPaddingOfResponses(BlkifLayout layout) {
        BackRing ring = attach(layout, 0, 0);
        int at = slotAt(layout, 0);
        for (int i = 0; i < 2 * layout.slotBytes(); i++) {
            memory.put(at + i, (byte) 0xee);
        }
        memory.putInt(BlkifLayout.REQ_PROD, 1);
        ring.next(new RingSlot(layout));

        ring.respond(0x0102030405060708L, 5, Blkif.BLKIF_RSP_EOPNOTSUPP, 0);

        byte[] response = new byte[layout.responseBytes()];
        memory.get(at, response);
        byte[] expected = {8, 7, 6, 5, 4, 3, 2, 1, 5, 0, (byte) 0xfe, (byte) 0xff, 0, 0, 0, 0};
        assertThat(response).isEqualTo(java.util.Arrays.copyOf(expected, layout.responseBytes()));
        assertThat(memory.get(at + layout.responseBytes())).isEqualTo((byte) 0xee);
    }

    @ParameterizedTest
    @EnumSource
    void ignoresOwnIndexesWrittenByFrontend(BlkifLayout layout) {
        BackRing ring = attach(layout, 0, 0);
        memory.putInt(BlkifLayout.REQ_PROD, 2);
        RingSlot slot = new RingSlot(layout);
        ring.next(slot);
        ring.respond(0, 0, 0, 0);
        memory.putInt(BlkifLayout.RSP_PROD, 1000).putInt(BlkifLayout.REQ_EVENT, 1000);
        memory.putInt(BlkifLayout.RSP_EVENT, 1);

        assertThat(ring.publish()).isTrue();
        assertThat(memory.getInt(BlkifLayout.RSP_PROD)).isOne();
        assertThat(ring.next(slot)).isTrue();
        assertThat(ring.next(slot)).isFalse();
        assertThat(ring.arm()).isFalse();
        assertThat(memory.getInt(BlkifLayout.REQ_EVENT)).isEqualTo(3);
    }

    @ParameterizedTest
    @EnumSource
    void refusesResponseWithoutRequest(BlkifLayout layout) {
        BackRing ring = attach(layout, 0, 0);

        assertThatThrownBy(() -> ring.respond(5, 0, 0, 0))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("response without a request, id 5");
    }

    @ParameterizedTest
    @EnumSource
    void survivesRandomIndexes(BlkifLayout layout) {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        BackRing ring = attach(layout, 0, 0);
        RingSlot slot = new RingSlot(layout);
        int refused = 0;
        for (int i = 0; i < 100_000; i++) {
            int reach = random.nextBoolean() ? 40 : Integer.MAX_VALUE;
            memory.putInt(
                    BlkifLayout.REQ_PROD, memory.getInt(BlkifLayout.RSP_PROD) + random.nextInt(reach) - reach / 4);
            try {
                while (ring.next(slot)) {
                    assertThat(ring.inFlight()).as("seed %d", seed).isBetween(1, 32);
                }
            } catch (RingProtocolException e) {
                refused++;
            }
            while (ring.inFlight() > 0 && random.nextInt(4) > 0) {
                ring.respond(i, 0, 0, 0);
            }
            ring.publish();
        }
        assertThat(refused).as("seed %d", seed).isPositive();
    }

    @ParameterizedTest
    @EnumSource
    void frontendRefusesTooManyResponses(BlkifLayout layout) {
        FrontRing.initialise(memory);
        FrontRing front = new FrontRing(memory, layout, 1);
        front.put();
        front.publish();
        front.put(); // not shown to the backend
        memory.putInt(BlkifLayout.RSP_PROD, 2);

        assertThatThrownBy(front::take)
                .isInstanceOf(RingProtocolException.class)
                .hasMessage("rsp_prod 2 is past the requests, req_prod 1");
        memory.putInt(BlkifLayout.RSP_PROD, -1);
        assertThatThrownBy(front::take).isInstanceOf(RingProtocolException.class);
    }

    @ParameterizedTest
    @EnumSource
    void frontendRefusesToOverfill(BlkifLayout layout) {
        FrontRing.initialise(memory);
        FrontRing front = new FrontRing(memory, layout, 1);
        for (int i = 0; i < 32; i++) {
            assertThat(front.put()).isEqualTo(slotAt(layout, i));
        }

        assertThatThrownBy(front::put).hasMessage("the ring is full, 32 requests in flight");
        assertThat(front.publish()).isTrue();
        assertThat(front.publish()).isFalse();
    }
}

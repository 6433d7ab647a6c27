package io.blocktap.pipeline.codec.blkif;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.FrontRing;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.SeqPacketSocket;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;

/**
 * A frontend that writes what it likes into the shared memory. It speaks the hand-shake of docs/protocols/loopback.md byte by byte, on its own, and has no event
 * loop: the test's thread looks at the ring.
 */
final class RawFrontend implements AutoCloseable {
    /** What a slot of the ring says about a request that has ended. */
    record Answer(long id, int operation, int status) {}

    final BlkifLayout layout;
    final int ringPages;
    final MappedRegion region;
    final ByteBuffer memory;
    final FrontRing ring;
    private final SeqPacketSocket socket;
    private final Fd kick;
    private final Fd call;
    private final MappedRegion one;

    RawFrontend(String path, BlkifLayout layout, int order, int dataPages) throws Exception {
        this.layout = layout;
        this.ringPages = 1 << order;
        socket = SeqPacketSocket.connectTo(path);
        ByteBuffer hello = ByteBuffer.allocate(26).order(ByteOrder.LITTLE_ENDIAN);
        hello.put("BTAPLOOP".getBytes(StandardCharsets.US_ASCII))
                .putShort((short) 1)
                .putShort((short) 1)
                .putInt(0);
        hello.put((byte) layout.ordinal())
                .put((byte) order)
                .putShort((short) 0)
                .putInt(dataPages)
                .putShort((short) 0);
        socket.send(hello.flip());
        SeqPacketSocket.Packet[] welcome = new SeqPacketSocket.Packet[1];
        Awaitility.await().until(() -> (welcome[0] = socket.receive()) != null);
        assertThat(welcome[0].data().getShort(10))
                .as("type of the answer, 2 is WELCOME")
                .isEqualTo((short) 2);
        try (Fd memfd = welcome[0].fds().get(0)) {
            region = MappedRegion.shared(memfd, (ringPages + dataPages) * 4096);
        }
        kick = welcome[0].fds().get(1);
        call = welcome[0].fds().get(2);
        memory = region.view();
        ring = new FrontRing(memory, layout, ringPages);
        one = MappedRegion.anonymous(4096);
        one.view().putLong(0, 1);
    }

    /** Fills the next slot with a direct request; segments are triples of page, first and last sector. */
    void request(int operation, long id, long sector, int... segments) {
        int slot = ring.put();
        ByteBuffer target = ring.memory();
        target.put(slot, (byte) operation)
                .put(slot + 1, (byte) (segments.length / 3))
                .putShort(slot + 2, (short) 0);
        target.putLong(slot + layout.id(), id).putLong(slot + layout.sectorNumber(), sector);
        for (int i = 0; i < segments.length / 3; i++) {
            int at = slot + layout.segment(i);
            target.putInt(at, segments[3 * i]);
            target.put(at + 4, (byte) segments[3 * i + 1]).put(at + 5, (byte) segments[3 * i + 2]);
        }
    }

    /** Sets the byte that says how many segments there are in the slot that was put last. */
    void setSegmentCount(int slot, int count) {
        ring.memory().put(slot + 1, (byte) count);
    }

    void discard(long id, long sector, long sectors, int flag) {
        int slot = ring.put();
        ByteBuffer target = ring.memory();
        target.put(slot, (byte) Blkif.BLKIF_OP_DISCARD).put(slot + 1, (byte) flag);
        target.putLong(slot + layout.id(), id).putLong(slot + layout.sectorNumber(), sector);
        target.putLong(slot + layout.discardNrSectors(), sectors);
    }

    /** Fills the next slot with an indirect request; the caller has filled the page of segments. */
    void indirect(int innerOperation, long id, long sector, int segmentCount, int gref) {
        int slot = ring.put();
        ByteBuffer target = ring.memory();
        target.put(slot, (byte) Blkif.BLKIF_OP_INDIRECT).put(slot + 1, (byte) innerOperation);
        target.putShort(slot + 2, (short) segmentCount);
        target.putLong(slot + layout.id(), id).putLong(slot + layout.sectorNumber(), sector);
        target.putInt(slot + layout.indirectGref(0), gref);
    }

    void segmentInPage(int gref, int index, int segmentGref, int first, int last) {
        int at = gref * 4096 + index * 8;
        memory.putInt(at, segmentGref);
        memory.put(at + 4, (byte) first).put(at + 5, (byte) last);
    }

    /** Publishes, and kicks whether asked or not. */
    void publish() {
        ring.publish();
        kick();
    }

    void kick() {
        Libc.writeBytes(kick, one.address(), 8);
    }

    @Nullable
    Answer poll() {
        int slot = ring.take();
        if (slot < 0) {
            return null;
        }
        ByteBuffer source = ring.memory();
        return new Answer(source.getLong(slot), source.get(slot + 8) & 0xff, source.getShort(slot + 10));
    }

    /** Waits for as many answers. */
    List<Answer> await(int count) {
        List<Answer> answers = new ArrayList<>();
        Awaitility.await()
                .atMost(Duration.ofSeconds(20))
                .pollInterval(Duration.ofMillis(1))
                .until(() -> {
                    Answer answer;
                    while (answers.size() < count && (answer = poll()) != null) {
                        answers.add(answer);
                    }
                    return answers.size() == count;
                });
        return answers;
    }

    Answer ask() {
        publish();
        return await(1).get(0);
    }

    boolean isClosedByServer() throws Exception {
        SeqPacketSocket.Packet packet = socket.receive();
        return packet != null && packet.data().limit() == 0;
    }

    @Override
    public void close() {
        socket.close();
        kick.close();
        call.close();
        region.release();
        one.release();
    }
}

package io.blocktap.transport.ring;

import java.nio.ByteBuffer;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/**
 * A request that {@link BackRing#next} takes is complete: no byte of its slot is older than its publication. The frontend publishes two
 * requests, the backend looks twice. 0: nothing there; 1 and 2: that request, complete; -1: stale or torn.
 */
@JCStressTest
@Outcome(id = "0, 0", expect = Expect.ACCEPTABLE, desc = "Neither is there yet.")
@Outcome(id = "0, 1", expect = Expect.ACCEPTABLE, desc = "The first comes between the looks.")
@Outcome(id = "1, 0", expect = Expect.ACCEPTABLE, desc = "The first only.")
@Outcome(id = "1, 2", expect = Expect.ACCEPTABLE, desc = "Both, in order.")
@Outcome(expect = Expect.FORBIDDEN, desc = "A stale or torn slot, or the wrong order.")
@State
public class RequestSlotStress {
    private final FrontRing front;
    private final BackRing back;
    private final RingSlot slot = new RingSlot(BlkifLayout.X86_64);

    /** Makes a fresh ring. */
    public RequestSlotStress() {
        ByteBuffer page = StressPages.next();
        front = new FrontRing(page, BlkifLayout.X86_64, 1);
        back = new BackRing(page, BlkifLayout.X86_64, 1);
    }

    /** The frontend: two requests with all fields in use. */
    @Actor
    public void frontend() {
        issue(1);
        issue(2);
    }

    private void issue(int number) {
        int at = front.put();
        ByteBuffer memory = front.memory();
        memory.put(at + BlkifLayout.OPERATION, (byte) Blkif.BLKIF_OP_WRITE);
        memory.put(at + BlkifLayout.NR_SEGMENTS, (byte) Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST);
        memory.putLong(at + front.layout().id(), number);
        memory.putLong(at + front.layout().sectorNumber(), number * 11L);
        for (int i = 0; i < Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST; i++) {
            memory.putLong(at + front.layout().segment(i), number * 100L + i);
        }
        front.publish();
    }

    /** The backend: looks twice. */
    @Actor
    public void backend(II_Result result) {
        result.r1 = look();
        result.r2 = look();
    }

    private int look() {
        if (!back.next(slot)) {
            return 0;
        }
        int number = (int) slot.id();
        boolean whole = (number == 1 || number == 2)
                && slot.operation() == Blkif.BLKIF_OP_WRITE
                && slot.getUnsignedByte(BlkifLayout.NR_SEGMENTS) == Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST
                && slot.sectorNumber() == number * 11L;
        for (int i = 0; i < Blkif.BLKIF_MAX_SEGMENTS_PER_REQUEST; i++) {
            whole &= slot.getLong(slot.layout().segment(i)) == number * 100L + i;
        }
        return whole ? number : -1;
    }
}

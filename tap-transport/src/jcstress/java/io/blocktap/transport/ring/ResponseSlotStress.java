package io.blocktap.transport.ring;

import java.nio.ByteBuffer;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/**
 * A response that {@link FrontRing#take} finds is complete. Two requests are in flight; the backend answers them one by one, the frontend
 * looks twice. 0: nothing there; 1 and 2: that response, complete; -1: stale or torn.
 */
@JCStressTest
@Outcome(id = "0, 0", expect = Expect.ACCEPTABLE, desc = "Neither is there yet.")
@Outcome(id = "0, 1", expect = Expect.ACCEPTABLE, desc = "The first comes between the looks.")
@Outcome(id = "1, 0", expect = Expect.ACCEPTABLE, desc = "The first only.")
@Outcome(id = "1, 2", expect = Expect.ACCEPTABLE, desc = "Both, in order.")
@Outcome(expect = Expect.FORBIDDEN, desc = "A stale or torn response, or the wrong order.")
@State
public class ResponseSlotStress {
    private final FrontRing front;
    private final BackRing back;

    /** Makes a ring with two requests in flight. */
    public ResponseSlotStress() {
        ByteBuffer page = StressPages.next();
        front = new FrontRing(page, BlkifLayout.X86_32, 1);
        back = new BackRing(page, BlkifLayout.X86_32, 1);
        RingSlot slot = new RingSlot(BlkifLayout.X86_32);
        front.put();
        front.put();
        front.publish();
        back.next(slot);
        back.next(slot);
    }

    /** The backend: two responses. */
    @Actor
    public void backend() {
        back.respond(0x0101010101010101L, 1, -1, 0);
        back.publish();
        back.respond(0x0202020202020202L, 2, -2, 0);
        back.publish();
    }

    /** The frontend: looks twice. */
    @Actor
    public void frontend(II_Result result) {
        result.r1 = look();
        result.r2 = look();
    }

    private int look() {
        int at = front.take();
        if (at < 0) {
            return 0;
        }
        ByteBuffer memory = front.memory();
        int number = memory.get(at + BlkifLayout.RESPONSE_OPERATION);
        boolean whole = (number == 1 || number == 2)
                && memory.getLong(at + BlkifLayout.RESPONSE_ID) == 0x0101010101010101L * number
                && memory.getShort(at + BlkifLayout.RESPONSE_STATUS) == -number;
        return whole ? number : -1;
    }
}

package io.blocktap.transport.ring;

import java.nio.ByteBuffer;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.ZZ_Result;

/**
 * No request waits for ever: the backend's whole end of a turn (look, arm, look again) against a publication. The ring has done one
 * request already, so that its event index lies behind, as it does while the backend is busy.
 */
@JCStressTest
@Outcome(id = "true, false", expect = Expect.ACCEPTABLE, desc = "The frontend notifies.")
@Outcome(id = "false, true", expect = Expect.ACCEPTABLE, desc = "The backend finds the request by itself.")
@Outcome(id = "true, true", expect = Expect.ACCEPTABLE, desc = "Both: a notification for nothing.")
@Outcome(id = "false, false", expect = Expect.FORBIDDEN, desc = "Nobody: the request waits for ever.")
@State
public class RingTurnStress {
    private final FrontRing front;
    private final BackRing back;
    private final RingSlot slot = new RingSlot(BlkifLayout.X86_64);

    /** Makes a ring whose backend is in the middle of a turn. */
    public RingTurnStress() {
        ByteBuffer page = StressPages.next();
        front = new FrontRing(page, BlkifLayout.X86_64, 1);
        back = new BackRing(page, BlkifLayout.X86_64, 1);
        front.put();
        front.publish();
        back.next(slot);
    }

    /** The frontend: one more request. */
    @Actor
    public void frontend(ZZ_Result result) {
        front.put();
        result.r1 = front.publish();
    }

    /** The backend: ends its turn. */
    @Actor
    public void backend(ZZ_Result result) {
        result.r2 = back.next(slot) || back.arm();
    }
}

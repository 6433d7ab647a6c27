package io.blocktap.transport.ring;

import java.nio.ByteBuffer;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.ZZ_Result;

/**
 * The other direction of {@link RingNotifyStress}: while the frontend goes to sleep, the backend publishes a response. Either the
 * backend is told to notify, or the frontend's last look finds the response.
 */
@JCStressTest
@Outcome(id = "true, false", expect = Expect.ACCEPTABLE, desc = "The backend notifies.")
@Outcome(id = "false, true", expect = Expect.ACCEPTABLE, desc = "The frontend finds the response by itself.")
@Outcome(id = "true, true", expect = Expect.ACCEPTABLE, desc = "Both: a notification for nothing.")
@Outcome(id = "false, false", expect = Expect.FORBIDDEN, desc = "Nobody: the response waits for ever.")
@State
public class ResponseNotifyStress {
    private final FrontRing front;
    private final BackRing back;

    /** Makes a ring with one response taken and one request in flight; the event index lies behind. */
    public ResponseNotifyStress() {
        ByteBuffer page = StressPages.next();
        front = new FrontRing(page, BlkifLayout.X86_64, 1);
        back = new BackRing(page, BlkifLayout.X86_64, 1);
        RingSlot slot = new RingSlot(BlkifLayout.X86_64);
        front.put();
        front.put();
        front.publish();
        back.next(slot);
        back.next(slot);
        back.respond(1, 0, 0, 0);
        back.publish();
        front.take();
    }

    /** The backend: the second response. */
    @Actor
    public void backend(ZZ_Result result) {
        back.respond(2, 0, 0, 0);
        result.r1 = back.publish();
    }

    /** The frontend: nothing more seen, so it arms the notification and looks once more. */
    @Actor
    public void frontend(ZZ_Result result) {
        result.r2 = front.arm();
    }
}

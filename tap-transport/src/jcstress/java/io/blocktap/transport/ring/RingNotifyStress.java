package io.blocktap.transport.ring;

import java.nio.ByteBuffer;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.ZZ_Result;

/**
 * No notification is lost: while the backend goes to sleep, the frontend publishes a request. Either the frontend is told to
 * notify, or the backend's last look finds the request; with neither, the request waits for ever. Without the full fence in
 * {@link FrontRing#publish} or in {@link BackRing#arm} the forbidden outcome is seen on x86 too.
 */
@JCStressTest
@Outcome(id = "true, false", expect = Expect.ACCEPTABLE, desc = "The frontend notifies.")
@Outcome(id = "false, true", expect = Expect.ACCEPTABLE, desc = "The backend finds the request by itself.")
@Outcome(id = "true, true", expect = Expect.ACCEPTABLE, desc = "Both: a notification for nothing.")
@Outcome(id = "false, false", expect = Expect.FORBIDDEN, desc = "A lost notification.")
@State
public class RingNotifyStress {
    private final FrontRing front;
    private final BackRing back;

    /** Makes a fresh ring whose backend has armed nothing: its event index is not the next request's. */
    public RingNotifyStress() {
        ByteBuffer page = StressPages.next();
        SharedIndexes.setRelease(page, BlkifLayout.REQ_EVENT, 0);
        front = new FrontRing(page, BlkifLayout.X86_64, 1);
        back = new BackRing(page, BlkifLayout.X86_64, 1);
    }

    /** The frontend: one request. */
    @Actor
    public void frontend(ZZ_Result result) {
        front.put();
        result.r1 = front.publish();
    }

    /** The backend: nothing seen, so it arms the notification and looks once more. */
    @Actor
    public void backend(ZZ_Result result) {
        result.r2 = back.arm();
    }
}

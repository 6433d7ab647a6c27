package io.blocktap.pipeline.tap.xen;

import io.blocktap.pipeline.TapCheck;
import io.blocktap.transport.TapException;
import io.blocktap.transport.xen.XenDevices;
import io.blocktap.transport.xen.store.XenStore;
import io.blocktap.transport.xen.store.XenStoreEndpoint;
import io.blocktap.transport.xen.store.XenStorePath;
import io.netty.channel.EventLoop;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Looks whether this machine has what the tap needs: the devices, the rights to them, and a xenstore that answers. */
final class XenExamination {
    private static final int ANSWER_SECONDS = 20;

    private XenExamination() {}

    static List<TapCheck> of(EventLoop loop) {
        List<TapCheck> found = new ArrayList<>();
        XenDevices devices = XenDevices.ofThisMachine();
        found.add(check("/dev/xen/evtchn", devices.eventChannelProblem()));
        found.add(check("/dev/xen/gntdev", devices.grantProblem()));
        try {
            found.add(xenstore(loop, XenStoreEndpoint.find()));
        } catch (TapException e) {
            found.add(TapCheck.bad("xenstore", String.valueOf(e.getMessage())));
        }
        return found;
    }

    private static TapCheck check(String what, Optional<String> problem) {
        return problem.map(text -> TapCheck.bad(what, text)).orElseGet(() -> TapCheck.good(what));
    }

    private static TapCheck xenstore(EventLoop loop, XenStoreEndpoint endpoint) {
        String what = "xenstore at " + endpoint;
        CompletableFuture<String> domid = XenStore.connect(loop, endpoint)
                .thenCompose(store -> store.readIfPresent(XenStorePath.of("domid"))
                        .thenApply(text -> text.orElse("0"))
                        .whenComplete((text, failure) -> store.close()));
        try {
            return TapCheck.good(what + ", domain "
                    + domid.get(ANSWER_SECONDS, TimeUnit.SECONDS).strip());
        } catch (ExecutionException e) {
            return TapCheck.bad(
                    what,
                    XenTap.causeOf(e.getCause() == null ? e : e.getCause()).getMessage()
                            + "; is xenstored running, and is this user root?");
        } catch (TimeoutException e) {
            return TapCheck.bad(
                    what,
                    "no answer within " + ANSWER_SECONDS + " s; is xenstored running? (systemctl status xenstored)");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return TapCheck.bad(what, "interrupted");
        }
    }
}

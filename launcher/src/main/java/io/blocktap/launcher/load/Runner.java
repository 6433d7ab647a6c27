package io.blocktap.launcher.load;

import java.io.IOException;
import java.util.ArrayDeque;
import java.util.concurrent.CompletableFuture;

/** Keeps the slots of one client busy with a workload. On the client's event loop. */
final class Runner implements BlockClient.Listener {
    private final BlockClient client;
    private final Workload workload;
    private final LoadStats stats;
    private final ArrayDeque<Slot> idle = new ArrayDeque<>();
    private final CompletableFuture<Void> done = new CompletableFuture<>();
    private int inFlight;
    private long endedCount;
    private long endedAtLastLook = -1;

    Runner(BlockClient client, Workload workload, LoadStats stats) {
        this.client = client;
        this.workload = workload;
        this.stats = stats;
        idle.addAll(client.slots());
        client.listen(this);
    }

    /** Issues the first requests; completes when the workload has ended, fails if the connection is lost. */
    CompletableFuture<Void> start() {
        fill();
        client.publish();
        return done;
    }

    private void fill() {
        long now = System.nanoTime();
        do {
            Slot slot;
            while ((slot = idle.poll()) != null) {
                if (!workload.next(slot)) {
                    idle.push(slot);
                    break;
                }
                issue(slot, now);
            }
        } while (inFlight == 0 && workload.goOn());
        if (inFlight == 0) {
            done.complete(null);
        }
    }

    private void issue(Slot slot, long now) {
        slot.issuedNanos = now;
        inFlight++;
        client.issue(slot);
    }

    @Override
    public void ended(Slot slot, boolean ok) {
        long now = System.nanoTime();
        inFlight--;
        endedCount++;
        stats.count(slot, ok, now);
        if (ok) {
            workload.check(slot);
        }
        if (workload.next(slot)) {
            issue(slot, now);
            return;
        }
        idle.push(slot);
        if (inFlight == 0) {
            fill();
        }
    }

    /** Called from time to time: gives up if nothing was answered since the last call. */
    void look() {
        if (endedCount == endedAtLastLook) {
            done.completeExceptionally(new IOException("nothing is answered any more; " + inFlight
                    + " requests are in flight, the server has lost them or is stuck"));
        }
        endedAtLastLook = endedCount;
    }

    @Override
    public void lost(Throwable cause) {
        done.completeExceptionally(
                new IOException("the connection was lost with " + inFlight + " requests in flight: " + cause, cause));
    }
}

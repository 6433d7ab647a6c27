package io.blocktap.launcher.server;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.Tap;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Supplier;

/**
 * The orderly end of a server's requests: the taps stop taking, then every disk answers what is in flight and flushes. A tap or disk that fails
 * is noted, and keeps no other from its turn.
 *
 * <p>Any thread.
 */
final class ServerDrain {
    private final List<String> failures = new CopyOnWriteArrayList<>();
    private final Set<Disk> idle = ConcurrentHashMap.newKeySet();
    private volatile boolean tapsStopped = true;
    private final CompletableFuture<Void> done;

    /**
     * Starts it.
     *
     * @param disks asked for the disks when the taps have stopped, since until then a tap may open some
     */
    ServerDrain(Collection<Tap> taps, Supplier<Collection<Disk>> disks) {
        List<CompletableFuture<Void>> stopped = new ArrayList<>();
        for (Tap tap : taps) {
            stopped.add(attempt(tap::stopTaking).handle((ok, failure) -> {
                if (failure != null) {
                    tapsStopped = false;
                    failures.add("a tap could not be stopped: " + failure);
                }
                return null;
            }));
        }
        done = all(stopped).thenCompose(ok -> drain(disks.get()));
    }

    private CompletableFuture<Void> drain(Collection<Disk> disks) {
        // All start before the first is waited for.
        Map<Disk, CompletableFuture<BlockStatus>> started = new LinkedHashMap<>();
        disks.forEach(disk -> started.put(disk, attempt(disk::drain)));
        List<CompletableFuture<Void>> ended = new ArrayList<>();
        started.forEach((disk, drained) -> ended.add(drained.handle((status, failure) -> {
            note(disk, status, failure);
            return null;
        })));
        return all(ended);
    }

    private void note(Disk disk, BlockStatus status, Throwable failure) {
        if (failure != null) {
            failures.add(disk.label() + ": draining failed: " + failure);
            return;
        }
        idle.add(disk);
        if (status != BlockStatus.OK) {
            failures.add(disk.label() + ": the last flush failed with " + status
                    + "; writes since the one before may not be on stable storage");
        }
    }

    /** Turns what is thrown at once into a failed future, like what fails later. */
    private static <T> CompletableFuture<T> attempt(Supplier<CompletableFuture<T>> step) {
        try {
            return step.get();
        } catch (Throwable e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    private static CompletableFuture<Void> all(List<CompletableFuture<Void>> futures) {
        return CompletableFuture.allOf(futures.toArray(CompletableFuture[]::new));
    }

    /** Returns what completes, never with an exception, when every tap and disk has had its turn. */
    CompletableFuture<Void> done() {
        return done;
    }

    /** Returns whether no request of a disk is in flight any more and none can come: its stages may be closed. */
    boolean isIdle(Disk disk) {
        return tapsStopped && idle.contains(disk);
    }

    /** Returns what went wrong so far, in words. */
    List<String> failures() {
        return List.copyOf(failures);
    }
}

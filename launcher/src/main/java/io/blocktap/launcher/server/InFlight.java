package io.blocktap.launcher.server;

import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.Session;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How many requests of a session are in flight.
 *
 * @param count negative if one of its event loops does not say
 */
record InFlight(Session session, int count) {
    private static final Logger LOG = LoggerFactory.getLogger(InFlight.class);
    private static final long LIMIT_MILLIS = 500;

    /** Counts by session, leaving out those that have none. A loop that does not answer within half a second counts as stuck. Waits. */
    static List<InFlight> of(Collection<Disk> disks) {
        Map<Session, List<CompletableFuture<Integer>>> counts = new LinkedHashMap<>();
        for (Disk disk : disks) {
            for (Session session : disk.sessions()) {
                List<CompletableFuture<Integer>> asked = new ArrayList<>();
                for (RequestStream stream : session.streams()) {
                    asked.add(CompletableFuture.supplyAsync(stream::inFlight, stream.eventLoop()));
                }
                counts.put(session, asked);
            }
        }
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(LIMIT_MILLIS);
        List<InFlight> found = new ArrayList<>();
        counts.forEach((session, asked) -> {
            InFlight own = new InFlight(session, sum(session, asked, deadline));
            if (own.count() != 0) {
                found.add(own);
            }
        });
        return found;
    }

    private static int sum(Session session, List<CompletableFuture<Integer>> asked, long deadline) {
        int sum = 0;
        for (CompletableFuture<Integer> each : asked) {
            try {
                sum += each.get(Math.max(0, deadline - System.nanoTime()), TimeUnit.NANOSECONDS);
            } catch (TimeoutException e) {
                return -1;
            } catch (ExecutionException e) {
                LOG.debug("counting requests of {}", session, e); // its loop has ended
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return -1;
            }
        }
        return sum;
    }

    /** Returns "n requests in flight, n sessions" of all disks. */
    static String summary(Collection<Disk> disks) {
        List<InFlight> found = of(disks);
        long stuck = found.stream().filter(InFlight::isStuck).count();
        int requests = found.stream()
                .filter(each -> !each.isStuck())
                .mapToInt(InFlight::count)
                .sum();
        int sessions = disks.stream().mapToInt(disk -> disk.sessions().size()).sum();
        return requests + " requests in flight, " + sessions + " sessions"
                + (stuck == 0 ? "" : ", " + stuck + " of them on a stuck event loop");
    }

    boolean isStuck() {
        return count < 0;
    }

    @Override
    public String toString() {
        return session + ": " + (isStuck() ? "its event loop is stuck" : count + " requests in flight");
    }
}

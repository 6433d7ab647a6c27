package io.blocktap.pipeline.tap.gnbd;

import io.blocktap.pipeline.codec.gnbd.Gnbd;
import io.netty.channel.Channel;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Who is logged in, and who may not log in. Any thread.
 *
 * <p>A node is fenced until UNFENCE, or until it logs in with another timestamp: then the incarnation that was fenced is gone. The tables are bounded, since anybody may
 * send any node's name.
 */
final class GnbdSessions {
    /** Nodes that are remembered, and nodes that may be fenced at a time. */
    static final int MAX_NODES = 1024;
    /** A client may ask, go away and ask again while a disk is stuck: so many are remembered. */
    static final int MAX_WAITING = 1024;

    private int waiting;

    private final Set<GnbdSession> sessions = new LinkedHashSet<>();
    private final Set<String> banned = new LinkedHashSet<>();
    private final Map<String, Long> timestamps = new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Long> eldest) {
            return size() > MAX_NODES;
        }
    };

    /**
     * Admits a node's LOGIN, unless it is fenced.
     *
     * @return the session, to be begun or ended; null if the node is fenced
     */
    synchronized @Nullable GnbdSession admit(String node, long timestamp, String export, Channel channel) {
        Long before = timestamps.put(node, timestamp);
        if (before != null && before != timestamp) {
            banned.remove(node);
        }
        if (banned.contains(node)) {
            return null;
        }
        GnbdSession session = new GnbdSession(node, export, channel);
        sessions.add(session);
        session.settled().thenRun(() -> remove(session));
        channel.closeFuture().addListener(closed -> session.closed());
        return session;
    }

    private synchronized void remove(GnbdSession session) {
        sessions.remove(session);
    }

    /**
     * Ends the sessions of a node with an export.
     *
     * @param ended is told each of them
     * @return completes when all that they have taken is answered
     */
    CompletableFuture<Void> kill(String export, String node, Consumer<GnbdSession> ended) {
        return end(session -> session.node().equals(node) && session.export().equals(export), ended);
    }

    /**
     * Admits a node no more, and ends its sessions.
     *
     * @return completes with 0 when all that they have taken is answered; with {@link Gnbd#ENOSPC} if too many nodes are fenced
     */
    CompletableFuture<Integer> fence(String node) {
        synchronized (this) {
            if (banned.size() >= MAX_NODES && !banned.contains(node)) {
                return CompletableFuture.completedFuture(Gnbd.ENOSPC);
            }
            banned.add(node);
        }
        return end(session -> session.node().equals(node), session -> {}).thenApply(done -> 0);
    }

    /** Counts one more that waits for the end of sessions, whether its client stays or not; false if there are too many. Ended by {@link #endWaiting}. */
    synchronized boolean beginWaiting() {
        if (waiting == MAX_WAITING) {
            return false;
        }
        waiting++;
        return true;
    }

    synchronized void endWaiting() {
        waiting--;
    }

    /** Takes back {@link #fence}. */
    synchronized void unfence(String node) {
        banned.remove(node);
    }

    /** Returns the nodes that are fenced. */
    synchronized List<String> banned() {
        return List.copyOf(banned);
    }

    private CompletableFuture<Void> end(Predicate<GnbdSession> which, Consumer<GnbdSession> ended) {
        List<GnbdSession> found;
        synchronized (this) {
            found = sessions.stream().filter(which).toList();
        }
        List<CompletableFuture<Void>> all = new ArrayList<>();
        for (GnbdSession session : found) {
            all.add(session.end());
            ended.accept(session);
        }
        return CompletableFuture.allOf(all.toArray(CompletableFuture[]::new));
    }
}

package io.blocktap.pipeline.tap.gnbd;

import io.netty.channel.Channel;
import java.net.SocketAddress;
import java.util.concurrent.CompletableFuture;

/** One LOGIN, from the moment it is looked at until its last request was answered. Any thread. */
final class GnbdSession {
    private final String node;
    private final String export;
    private final Channel channel;
    private final CompletableFuture<Void> settled = new CompletableFuture<>();
    private boolean begun;
    private boolean ended;

    GnbdSession(String node, String export, Channel channel) {
        this.node = node;
        this.export = export;
        this.channel = channel;
    }

    String node() {
        return node;
    }

    /** Returns where it comes from. */
    SocketAddress peer() {
        return channel.remoteAddress();
    }

    String export() {
        return export;
    }

    /** Requests are about to be taken; returns false if the session was ended before. From now on it is settled by {@link #settle}. */
    synchronized boolean begin() {
        begun = !ended;
        return begun;
    }

    /** Takes no more requests: closes the connection. Returns what completes when those that were taken are answered. */
    CompletableFuture<Void> end() {
        channel.close();
        closed();
        return settled;
    }

    /** The connection is closed. */
    void closed() {
        boolean isOver;
        synchronized (this) {
            ended = true;
            isOver = !begun;
        }
        if (isOver) {
            settle();
        }
    }

    /** No request will come any more, and none is on its way. */
    void settle() {
        settled.complete(null);
    }

    CompletableFuture<Void> settled() {
        return settled;
    }
}

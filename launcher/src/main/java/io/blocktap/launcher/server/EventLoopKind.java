package io.blocktap.launcher.server;

import java.util.Locale;

/** What the event loops wait on. */
public enum EventLoopKind {
    /** {@link #EPOLL}; see docs/config.md for why. */
    AUTO,
    /** epoll: doorbells and sockets. File I/O that may wait goes to the workers. */
    EPOLL,
    /** io_uring: doorbells, sockets, and file I/O of stages that can use it. */
    IO_URING;

    /** Returns the word for options. */
    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** Finds the kind of a word that was checked before. */
    static EventLoopKind of(String word) {
        return valueOf(word.toUpperCase(Locale.ROOT));
    }
}

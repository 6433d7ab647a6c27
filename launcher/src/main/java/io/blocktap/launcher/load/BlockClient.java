package io.blocktap.launcher.load;

import java.util.List;

/** A connected client of one disk. Everything but {@link #close} on its event loop. */
interface BlockClient extends AutoCloseable {
    /** Hears what becomes of requests. */
    interface Listener {
        /** A request was answered; its slot may be issued again at once. What is issued in here needs no {@link #publish}. */
        void ended(Slot slot, boolean ok);

        /** The connection is gone; nothing more is answered. */
        void lost(Throwable cause);
    }

    /** Returns the size of the disk. */
    long sizeBytes();

    /** Returns whether the disk can be written. */
    boolean isWritable();

    /** Returns whether it takes flushes. */
    boolean hasFlush();

    /** Returns as many slots as requests may be in flight. */
    List<Slot> slots();

    /** Says who hears of the ends; before the first request. */
    void listen(Listener listener);

    /** Sends what a slot describes, at the latest with {@link #publish}. */
    void issue(Slot slot);

    /** Shows the server what was issued. */
    void publish();

    /** Ends the connection, waiting for it; not on the event loop. */
    @Override
    void close();
}

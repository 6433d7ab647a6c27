package io.blocktap.transport.xen.store;

import java.io.IOException;

/** Hears of a xenstore connection's end and return. On the event loop. */
public interface XenStoreListener {
    /** A listener that does not care. */
    XenStoreListener NONE = new XenStoreListener() {};

    /**
     * The connection has ended and is being made again. All that was outstanding has failed, new requests fail until {@link #reconnected}.
     *
     * @param cause why
     */
    default void disconnected(IOException cause) {}

    /** There is a connection again, and all watches are set on it; each of them fires once from now on, as after {@code watch}. */
    default void reconnected() {}

    /**
     * The connection has ended for good: the device's, or the event loop ends. Not called after {@link XenStore#close}.
     *
     * @param cause why
     */
    default void ended(IOException cause) {}
}

package io.blocktap.transport.xen.store;

/** How one side of a device stands, in its {@code state} node; {@code enum xenbus_state} of Xen's {@code io/xenbus.h}. */
public enum XenbusState {
    /** There is no such node, or nothing that can be understood. */
    UNKNOWN("Unknown"),
    /** It begins. */
    INITIALISING("Initialising"),
    /** Offered: it waits for the other side. */
    INIT_WAIT("InitWait"),
    /** Its rings are published. */
    INITIALISED("Initialised"),
    /** In use. */
    CONNECTED("Connected"),
    /** It is asked to end, or ends. */
    CLOSING("Closing"),
    /** It has ended. */
    CLOSED("Closed"),
    /** It changes. */
    RECONFIGURING("Reconfiguring"),
    /** It has changed. */
    RECONFIGURED("Reconfigured");

    private static final XenbusState[] ALL = values();

    private final String shown;

    XenbusState(String shown) {
        this.shown = shown;
    }

    /** Reads a node's value, or the empty text for none; anything but a known number is UNKNOWN. */
    public static XenbusState of(String node) {
        String number = node.strip();
        int digit = number.length() == 1 ? number.charAt(0) - '0' : 0;
        return digit > 0 && digit < ALL.length ? ALL[digit] : UNKNOWN;
    }

    /** Returns what is written into the node. */
    public String node() {
        return Integer.toString(ordinal());
    }

    /** Returns the name as people and JSON have it: {@code InitWait}. */
    @Override
    public String toString() {
        return shown;
    }
}

package io.blocktap.launcher.xen;

import java.util.Optional;

/** How one side of a device stands: {@code enum xenbus_state} of Xen's {@code io/xenbus.h}. */
public enum BusState {
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
    /** It is asked to end. */
    CLOSING("Closing"),
    /** It has ended. */
    CLOSED("Closed"),
    /** It changes. */
    RECONFIGURING("Reconfiguring"),
    /** It has changed. */
    RECONFIGURED("Reconfigured");

    private final String shown;

    BusState(String shown) {
        this.shown = shown;
    }

    static BusState of(Optional<String> node) {
        String text = node.orElse("").strip();
        return text.length() == 1 && text.charAt(0) >= '0' && text.charAt(0) <= '8'
                ? values()[text.charAt(0) - '0']
                : UNKNOWN;
    }

    String node() {
        return Integer.toString(ordinal());
    }

    /** Returns the name as people and JSON have it: {@code InitWait}. */
    @Override
    public String toString() {
        return shown;
    }
}

package io.blocktap.pipeline.tap.xen;

/** The states of one side of a device, in its {@code state} node; {@code enum xenbus_state} of Xen's {@code io/xenbus.h}. */
enum XenbusState {
    /** There is no such node, or nothing that can be understood. */
    UNKNOWN,
    INITIALISING,
    INIT_WAIT,
    INITIALISED,
    CONNECTED,
    CLOSING,
    CLOSED,
    RECONFIGURING,
    RECONFIGURED;

    /** Reads a node's value; anything but a known number is UNKNOWN. */
    static XenbusState of(String text) {
        String number = text.strip();
        if (number.length() == 1 && number.charAt(0) >= '0' && number.charAt(0) <= '8') {
            return values()[number.charAt(0) - '0'];
        }
        return UNKNOWN;
    }

    /** Returns what is written into the node. */
    String text() {
        return Integer.toString(ordinal());
    }
}

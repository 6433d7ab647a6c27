package io.blocktap.transport.xen.store;

import java.io.IOException;

/** A request to xenstore failed. */
public final class XenStoreException extends IOException {
    private static final long serialVersionUID = 1L;

    /** The name of an error that xenstored did not tell: the connection is gone, or what it sent can't be understood. */
    public static final String CONNECTION = "CONNECTION";

    private final String error;

    /**
     * Describes the failure.
     *
     * @param error its name in xenstore ({@code ENOENT}, ...), or {@link #CONNECTION}
     * @param message in one line
     */
    public XenStoreException(String error, String message) {
        super(message);
        this.error = error;
    }

    /** Returns the name of the error. */
    public String error() {
        return error;
    }

    /** Returns whether the node is not there. */
    public boolean isNotThere() {
        return error.equals("ENOENT");
    }

    /** Returns whether a transaction met another one and is to be done over. */
    public boolean isConflict() {
        return error.equals("EAGAIN");
    }
}

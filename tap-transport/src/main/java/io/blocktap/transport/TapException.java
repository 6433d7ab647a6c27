package io.blocktap.transport;

import java.io.IOException;

/** A tap could not be set up, or its peer broke the protocol. The message is for a person. */
public final class TapException extends IOException {
    private static final long serialVersionUID = 1L;

    /** Describes the failure in one line. */
    public TapException(String message) {
        super(message);
    }

    /** Describes the failure in one line, with what caused it. */
    public TapException(String message, Throwable cause) {
        super(message, cause);
    }
}

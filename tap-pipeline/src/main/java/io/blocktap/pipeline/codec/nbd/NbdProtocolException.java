package io.blocktap.pipeline.codec.nbd;

/** A client broke the protocol so that the session can not go on. The message says what it sent. */
public final class NbdProtocolException extends Exception {
    private static final long serialVersionUID = 1L;

    /** Describes what the client did. */
    public NbdProtocolException(String message) {
        super(message);
    }
}

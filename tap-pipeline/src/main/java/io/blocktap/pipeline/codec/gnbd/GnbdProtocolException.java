package io.blocktap.pipeline.codec.gnbd;

/** The peer has sent what the protocol does not know; the connection can not go on. */
public final class GnbdProtocolException extends Exception {
    private static final long serialVersionUID = 1;

    /** Says what it has sent, and what would be right. */
    public GnbdProtocolException(String message) {
        super(message);
    }
}

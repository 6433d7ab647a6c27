package io.blocktap.transport.ring;

/** The peer broke the ring's protocol; this ring can not be served any more, others are not concerned. */
public final class RingProtocolException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /**
     * Describes the violation.
     *
     * @param message what was seen and what the limit is
     */
    public RingProtocolException(String message) {
        super(message, null, false, false);
    }
}

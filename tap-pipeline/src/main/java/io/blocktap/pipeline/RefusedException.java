package io.blocktap.pipeline;

/** A control message, such as a new session, was refused. The message is the reason, for whoever asked. */
public final class RefusedException extends Exception {
    private static final long serialVersionUID = 1L;

    /** Refuses with a reason in words. */
    public RefusedException(String reason) {
        super(reason);
    }

    /** Returns the reason. */
    public String reason() {
        return java.util.Objects.requireNonNull(getMessage());
    }
}

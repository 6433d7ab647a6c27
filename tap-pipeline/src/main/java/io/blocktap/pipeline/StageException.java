package io.blocktap.pipeline;

/** A stage could not be made, opened or closed. The message is for a person: what failed, the values, what to do. */
public final class StageException extends Exception {
    private static final long serialVersionUID = 1L;

    /** Describes the failure in one line. */
    public StageException(String message) {
        super(message);
    }

    /** Describes the failure in one line, with what caused it. */
    public StageException(String message, Throwable cause) {
        super(message, cause);
    }
}

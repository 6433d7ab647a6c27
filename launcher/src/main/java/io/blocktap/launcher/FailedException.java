package io.blocktap.launcher;

/** A command failed at run time. The message is one line for a person. */
final class FailedException extends Exception {
    private static final long serialVersionUID = 1L;

    FailedException(String message) {
        super(message);
    }

    FailedException(String message, Throwable cause) {
        super(message, cause);
    }
}

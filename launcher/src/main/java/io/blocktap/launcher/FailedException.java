package io.blocktap.launcher;

/** A command failed at run time. The message is one line for a person. */
final class FailedException extends Exception {
    private static final long serialVersionUID = 1L;

    private final int exitCode;

    FailedException(String message) {
        super(message);
        exitCode = Main.FAILED;
    }

    FailedException(String message, Throwable cause) {
        this(message, cause, Main.FAILED);
    }

    FailedException(String message, Throwable cause, int exitCode) {
        super(message, cause);
        this.exitCode = exitCode;
    }

    /** Returns what the process is to end with. */
    int exitCode() {
        return exitCode;
    }
}

package io.blocktap.terminator.gnbd;

import io.blocktap.pipeline.codec.gnbd.Gnbd;
import java.io.Serial;

/** Why the server could not be used. The message says it in words. */
final class ServerException extends Exception {
    @Serial
    private static final long serialVersionUID = 1L;

    private final boolean isRefusal;

    /**
     * Makes the exception.
     *
     * @param isRefusal whether the server was reached and does not serve us; false if it is away
     */
    ServerException(String message, boolean isRefusal) {
        super(message);
        this.isRefusal = isRefusal;
    }

    boolean isRefusal() {
        return isRefusal;
    }

    /** Explains an error number of the control side. */
    static String why(int errno, int version) {
        return switch (errno) {
            case Gnbd.EPERM -> "the node is fenced, or may not use the disk (error 1)";
            case Gnbd.ENODEV -> "there is no such export now (error 19)";
            case Gnbd.EINVAL -> "it speaks version " + version + " of the protocol (error 22)";
            default -> "error " + errno;
        };
    }
}

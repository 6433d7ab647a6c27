package io.blocktap.transport.sys;

import java.io.IOException;

/** A libc call that failed: which call, on what, and why. */
public final class NativeException extends IOException {
    private static final long serialVersionUID = 1L;

    private final int errno;

    /**
     * Describes a failed call.
     *
     * @param call the function's name, for example {@code "open"}
     * @param argument what it was called on: a path, a descriptor, a request number
     * @param errno the positive error number
     */
    public NativeException(String call, String argument, int errno) {
        super(call + "(" + argument + "): " + Errno.describe(errno));
        this.errno = errno;
    }

    /** Returns the positive error number, one of {@link Errno}'s or another. */
    public int errno() {
        return errno;
    }
}

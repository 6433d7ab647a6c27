package io.blocktap.transport.xen.store;

import io.blocktap.transport.Printable;
import java.io.IOException;

/**
 * The xenstore refused a request. {@link #errorName} is the name that xenstored sent ({@code xs_wire.h, xsd_errors}): ENOENT, EACCES, EAGAIN, ENOSPC, ...
 *
 * <p>A connection that is not there or has ended is no refusal: that is a {@link io.blocktap.transport.TapException}.
 */
public final class XenStoreException extends IOException {
    /** The node does not exist. */
    public static final String ENOENT = "ENOENT";
    /** The caller may not. */
    public static final String EACCES = "EACCES";
    /** A transaction met another writer and must be done again. */
    public static final String EAGAIN = "EAGAIN";
    /** The answer or the request does not fit into a message. */
    public static final String E2BIG = "E2BIG";

    private static final long serialVersionUID = 1L;

    private final String errorName;
    private final String path;

    XenStoreException(String operation, String path, String errorName) {
        this(operation, path, errorName, "");
    }

    XenStoreException(String operation, String path, String errorName, String more) {
        super("xenstore: " + operation + (path.isEmpty() ? "" : " " + path) + ": " + Printable.of(errorName) + more);
        this.errorName = errorName;
        this.path = path;
    }

    /** Returns the error's name as xenstored sent it. */
    public String errorName() {
        return errorName;
    }

    /** Returns the path that the request was about; empty if it was about none. */
    public String path() {
        return path;
    }

    /** Returns whether a failure is a refusal of that name, also if it comes wrapped by a future. */
    public static boolean is(Throwable failure, String errorName) {
        return LoopFuture.unwrap(failure) instanceof XenStoreException refused && refused.errorName.equals(errorName);
    }
}

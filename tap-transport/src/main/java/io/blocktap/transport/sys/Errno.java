package io.blocktap.transport.sys;

/**
 * Linux error numbers that blocktap tells apart, and their names for messages.
 *
 * <p>Source: {@code asm-generic/errno-base.h} and {@code asm-generic/errno.h}; equal on x86_64 and aarch64.
 */
public final class Errno {
    /** Operation not permitted. */
    public static final int EPERM = 1;
    /** No such file or directory. */
    public static final int ENOENT = 2;
    /** Interrupted call. */
    public static final int EINTR = 4;
    /** Input/output error. */
    public static final int EIO = 5;
    /** Try again: the call would wait. */
    public static final int EAGAIN = 11;
    /** Out of memory. */
    public static final int ENOMEM = 12;
    /** Permission denied. */
    public static final int EACCES = 13;
    /** Device or resource busy. */
    public static final int EBUSY = 16;
    /** Bad address. */
    public static final int EFAULT = 14;
    /** File exists. */
    public static final int EEXIST = 17;
    /** No such device or address. */
    public static final int ENXIO = 6;
    /** No such device. */
    public static final int ENODEV = 19;
    /** Invalid argument. */
    public static final int EINVAL = 22;
    /** File too large. */
    public static final int EFBIG = 27;
    /** No space left on device. */
    public static final int ENOSPC = 28;
    /** Read-only file system. */
    public static final int EROFS = 30;
    /** Broken pipe. */
    public static final int EPIPE = 32;
    /** System call not implemented. */
    public static final int ENOSYS = 38;
    /** Address already in use. */
    public static final int EADDRINUSE = 98;
    /** Not connected. */
    public static final int ENOTCONN = 107;
    /** Connection refused. */
    public static final int ECONNREFUSED = 111;
    /** Operation not supported. */
    public static final int EOPNOTSUPP = 95;
    /** Disk quota exceeded. */
    public static final int EDQUOT = 122;

    private Errno() {}

    /**
     * Names an error number and says what it means, for a message to a person.
     *
     * @param errno a positive error number
     * @return for example {@code "ENOENT (no such file or directory)"}
     */
    public static String describe(int errno) {
        return switch (errno) {
            case EPERM -> "EPERM (operation not permitted)";
            case ENOENT -> "ENOENT (no such file or directory)";
            case EINTR -> "EINTR (interrupted)";
            case EIO -> "EIO (input/output error)";
            case EAGAIN -> "EAGAIN (would wait)";
            case ENOMEM -> "ENOMEM (out of memory)";
            case EACCES -> "EACCES (permission denied)";
            case EFAULT -> "EFAULT (bad address)";
            case EBUSY -> "EBUSY (in use)";
            case EEXIST -> "EEXIST (file exists)";
            case ENXIO -> "ENXIO (no such device or address)";
            case ENODEV -> "ENODEV (no such device)";
            case 20 -> "ENOTDIR (not a directory)";
            case 21 -> "EISDIR (is a directory)";
            case EINVAL -> "EINVAL (invalid argument)";
            case 24 -> "EMFILE (too many open files)";
            case EFBIG -> "EFBIG (file too large)";
            case ENOSPC -> "ENOSPC (no space left on device)";
            case EROFS -> "EROFS (read-only file system)";
            case EPIPE -> "EPIPE (broken pipe)";
            case ENOSYS -> "ENOSYS (not implemented)";
            case EOPNOTSUPP -> "EOPNOTSUPP (not supported)";
            case EADDRINUSE -> "EADDRINUSE (address already in use)";
            case 104 -> "ECONNRESET (connection reset)";
            case ENOTCONN -> "ENOTCONN (not connected)";
            case ECONNREFUSED -> "ECONNREFUSED (nobody listens)";
            case EDQUOT -> "EDQUOT (quota exceeded)";
            default -> "errno " + errno;
        };
    }
}

package io.blocktap.transport.sys;

import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Keeps servers that start at the same time from taking each other's fresh socket for a dead one's: whoever looks at a socket file, removes it and binds
 * its own holds the lock of the directory meanwhile ({@code flock(2)}, which leaves no file behind).
 *
 * <p>Advice only: other programs don't ask for it. Threads: one that may wait a little.
 */
public final class DirectoryLock implements AutoCloseable {
    private static final long TRY_NANOS = TimeUnit.MILLISECONDS.toNanos(5);
    private static final long MOST_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final Fd directory;

    private DirectoryLock(Fd directory) {
        this.directory = directory;
    }

    /**
     * Locks the directory that a file is or will be in. A binding takes microseconds; if the lock is held for two seconds it is somebody else's, and the caller goes on without it.
     *
     * @param file an absolute path
     * @throws NativeException if the directory can not be opened
     */
    public static DirectoryLock ofFile(Path file) throws NativeException {
        Path parent = file.getParent();
        Fd directory = Libc.openFile(String.valueOf(parent == null ? file : parent), Libc.O_RDONLY, 0);
        long until = System.nanoTime() + MOST_NANOS;
        while (Libc.lockExclusive(directory) == -Errno.EAGAIN && System.nanoTime() - until < 0) {
            LockSupport.parkNanos(TRY_NANOS);
        }
        return new DirectoryLock(directory);
    }

    /** Lets the next one go on. */
    @Override
    public void close() {
        directory.close();
    }
}

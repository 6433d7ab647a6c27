package io.blocktap.pipeline.file;

import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import java.nio.file.Path;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * {@code fdatasync} for many callers: one runs at a time, and one that begins after a caller came counts for that caller.
 *
 * <p><b>Failures are for ever.</b> After a failed {@code fdatasync} the kernel has dropped the state of the pages concerned and the next one succeeds, although data were lost. It
 * tells the error once for each open file; of two calls at the same time only one would hear of it. So there is only one at a time, on a descriptor that is used for nothing
 * else, and after the first failure none is tried any more.
 *
 * <p>Threads: any that may wait.
 */
final class GroupSync {
    private static final Logger LOG = LoggerFactory.getLogger(GroupSync.class);

    private final Path path;
    private final Fd fd;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition ended = lock.newCondition();
    private long begunCount;
    private long endedCount;
    private boolean isRunning;
    private volatile boolean poisoned;

    GroupSync(Path path, Fd fd) {
        this.path = path;
        this.fd = fd;
    }

    /** Returns whether one has failed. */
    boolean isPoisoned() {
        return poisoned;
    }

    /** Returns when everything that was written before the call is stable; false if that can't be said any more. */
    boolean run() {
        lock.lock();
        try {
            long needed = begunCount + 1;
            while (isRunning && endedCount < needed) {
                ended.awaitUninterruptibly();
            }
            if (endedCount < needed && !poisoned) {
                runAlone();
            }
            return !poisoned;
        } finally {
            lock.unlock();
        }
    }

    private void runAlone() {
        begunCount++;
        isRunning = true;
        lock.unlock();
        int result;
        try {
            do {
                result = Libc.syncData(fd);
            } while (result == -Errno.EINTR);
        } finally {
            lock.lock();
            isRunning = false;
            endedCount = begunCount;
            ended.signalAll();
        }
        // Still under the lock: whoever was waiting sees it.
        if (result < 0) {
            poison("fdatasync", -result);
        }
    }

    /** Has all syncs and writes fail from now on. Logs it once. */
    void poison(String what, int errno) {
        lock.lock();
        try {
            if (!poisoned) {
                poisoned = true;
                LOG.error(
                        "{}: {} failed ({}); earlier writes may be lost, so writes and flushes fail until it is opened anew",
                        path,
                        what,
                        Errno.describe(errno));
            }
        } finally {
            lock.unlock();
        }
    }
}

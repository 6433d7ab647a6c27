package io.blocktap.pipeline.file;

import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;

/**
 * The byte-range locks by which QEMU's programs keep off each other's images, so that blocktap and they keep off each other, too.
 *
 * <p>Whoever uses a permission holds a read lock on byte 100 + its number; whoever does not let others use it holds one on byte 200 + its number. Before
 * going on, each side looks whether somebody holds the opposite. The locks are open file description locks: they go with the descriptor, a killed process included.
 * Source: QEMU, {@code docs/system/images.rst}, "Disk image file locking", and observed on QEMU 7.2 by {@code /proc/locks}.
 */
final class QemuLocks {
    private static final int USED = 100;
    private static final int NOT_SHARED = 200;
    private static final int CONSISTENT_READ = 0;
    private static final int WRITE = 1;
    private static final int RESIZE = 3;

    private QemuLocks() {}

    /**
     * Takes the locks of a writer or reader.
     *
     * @return 0; {@code -EAGAIN} if another program uses the image in a way that excludes ours; another {@code -errno} if the file system has no
     *     such locks
     */
    static int take(Fd fd, BlockFile.Access access) {
        int result = hold(fd, USED + CONSISTENT_READ);
        if (result == 0 && access == BlockFile.Access.READ_WRITE) {
            result = hold(fd, USED + WRITE);
        }
        if (result == 0) {
            result = hold(fd, NOT_SHARED + WRITE);
        }
        if (result == 0) {
            result = hold(fd, NOT_SHARED + RESIZE);
        }
        if (result != 0) {
            return result;
        }
        if (isHeldByAnother(fd, USED + WRITE)
                || isHeldByAnother(fd, USED + RESIZE)
                || isHeldByAnother(fd, NOT_SHARED + CONSISTENT_READ)
                || access == BlockFile.Access.READ_WRITE && isHeldByAnother(fd, NOT_SHARED + WRITE)) {
            return -Errno.EAGAIN;
        }
        return 0;
    }

    /** Lets go of all: who waits for an image must not keep off others who wait for it, nor who has it. */
    static void letGo(Fd fd) {
        Libc.unlockByte(fd, USED + CONSISTENT_READ);
        Libc.unlockByte(fd, USED + WRITE);
        Libc.unlockByte(fd, NOT_SHARED + WRITE);
        Libc.unlockByte(fd, NOT_SHARED + RESIZE);
    }

    /** Holds a file's locks by one more descriptor of ours: what that one has under way in the kernel keeps others out even when this process is killed. */
    static void hold(Fd fd, BlockFile.Access access) {
        hold(fd, USED + CONSISTENT_READ);
        if (access == BlockFile.Access.READ_WRITE) {
            hold(fd, USED + WRITE);
        }
        hold(fd, NOT_SHARED + WRITE);
        hold(fd, NOT_SHARED + RESIZE);
    }

    private static int hold(Fd fd, int at) {
        return Libc.lockByteShared(fd, at);
    }

    private static boolean isHeldByAnother(Fd fd, int at) {
        return Libc.isByteLocked(fd, at);
    }
}

package io.blocktap.pipeline.file;

import io.blocktap.transport.sys.Fd;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * The descriptors of an open and locked file, and what it is.
 *
 * @param path as the user gave it
 * @param cached for I/O through the page cache; holds the lock
 * @param syncs for {@code fdatasync} alone. The kernel tells a write-back error once to each open file, so nobody else may use it up: a durable write that
 *     fails for another write's loss would, and the next flush would succeed
 * @param direct for I/O past the page cache, or null
 * @param isDevice whether it is a block device
 * @param isInMemory whether it lies on a file system in memory, where nothing waits for a device
 * @param sizeBytes its size
 * @param sectorBytes smallest unit of direct I/O
 */
record OpenFile(
        Path path,
        Fd cached,
        Fd syncs,
        @Nullable Fd direct,
        boolean isDevice,
        boolean isInMemory,
        long sizeBytes,
        int sectorBytes)
        implements AutoCloseable {
    /** The lock goes last. */
    @Override
    public void close() {
        if (direct != null) {
            direct.close();
        }
        syncs.close();
        cached.close();
    }
}

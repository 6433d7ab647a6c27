package io.blocktap.launcher;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * The file of {@code --pid-file}. Opened before the server and closed after it: as long as it is there, the server may hold disks and sockets. A
 * hard end leaves it behind, like any kill.
 */
final class PidFile implements AutoCloseable {
    private final @Nullable Path file;
    private boolean written;

    /** Names the file, and writes nothing yet; null if none is wanted. */
    PidFile(@Nullable Path file) {
        this.file = file;
    }

    void write() throws FailedException {
        Path wanted = file;
        if (wanted != null) {
            try {
                Files.writeString(wanted, ProcessHandle.current().pid() + "\n");
                written = true;
            } catch (IOException e) {
                throw new FailedException("--pid-file " + wanted + ": cannot be written: " + e, e);
            }
        }
    }

    @Override
    public void close() throws FailedException {
        Path wanted = file;
        if (wanted != null && written) {
            try {
                Files.deleteIfExists(wanted);
            } catch (IOException e) {
                throw new FailedException("--pid-file " + wanted + ": cannot be removed: " + e, e);
            }
        }
    }
}

package io.blocktap.launcher;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
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

    /**
     * Makes sure that the file names no server that runs. One that has ended hard has left its file; its number may be another process' by now.
     *
     * @throws FailedException if it does
     */
    PidFile requireFree() throws FailedException {
        Path wanted = file;
        long other = wanted == null ? -1 : named(wanted);
        if (other >= 0 && other != ProcessHandle.current().pid() && isServer(other)) {
            throw new FailedException("--pid-file " + wanted + " is that of a running server, process " + other
                    + "; stop that one, or name another file");
        }
        return this;
    }

    /** Returns the number in the file, or -1. */
    private static long named(Path file) {
        try {
            return Long.parseLong(Files.readString(file).trim());
        } catch (IOException | NumberFormatException e) {
            return -1;
        }
    }

    private static boolean isServer(long pid) {
        try {
            return Files.readString(Path.of("/proc", Long.toString(pid), "cmdline"), StandardCharsets.ISO_8859_1)
                    .contains(Main.class.getName());
        } catch (IOException e) {
            return false;
        }
    }

    void write() throws FailedException {
        Path wanted = file;
        if (wanted != null) {
            try {
                Files.writeString(wanted, ProcessHandle.current().pid() + "\n");
                written = true;
            } catch (IOException e) {
                throw new FailedException(
                        "--pid-file " + wanted + " can not be written: "
                                + (e instanceof NoSuchFileException ? "there is no such directory" : e.getMessage()),
                        e);
            }
        }
    }

    @Override
    public void close() throws FailedException {
        Path wanted = file;
        if (wanted != null
                && written
                && named(wanted) == ProcessHandle.current().pid()) {
            try {
                Files.deleteIfExists(wanted);
            } catch (IOException e) {
                throw new FailedException("--pid-file " + wanted + ": cannot be removed: " + e, e);
            }
        }
    }
}

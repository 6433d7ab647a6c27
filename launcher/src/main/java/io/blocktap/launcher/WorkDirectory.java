package io.blocktap.launcher;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** A directory for sockets and images of a short run; removed at its end, also when a signal ends the process. */
final class WorkDirectory implements AutoCloseable {
    private final Path path;
    private final Thread hook;

    WorkDirectory() throws FailedException {
        try {
            path = Files.createTempDirectory("blocktap-");
        } catch (IOException e) {
            throw new FailedException("no temporary directory: " + e + "; set -Djava.io.tmpdir", e);
        }
        hook = new Thread(this::remove, "blocktap-remove-directory");
        Runtime.getRuntime().addShutdownHook(hook);
    }

    Path resolve(String name) {
        return path.resolve(name);
    }

    private void remove() {
        try (Stream<Path> found = Files.walk(path)) {
            List<Path> all = found.sorted(Comparator.reverseOrder()).toList();
            for (Path each : all) {
                Files.deleteIfExists(each);
            }
        } catch (IOException e) {
            System.err.println("blocktap: " + path + " is left behind: " + e);
        }
    }

    @Override
    public void close() {
        Runtime.getRuntime().removeShutdownHook(hook);
        remove();
    }
}

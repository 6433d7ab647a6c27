package io.blocktap.transport;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/** Counts the open descriptors of this process of the kinds that taps use; files and jars that the JVM opens are left out. */
public final class OpenFds {
    private OpenFds() {}

    /** Returns how many sockets, eventfds and memory files are open. */
    public static Map<String, Integer> count() {
        Map<String, Integer> counts = new TreeMap<>();
        try (DirectoryStream<Path> fds = Files.newDirectoryStream(Path.of("/proc/self/fd"))) {
            for (Path fd : fds) {
                try {
                    String target = Files.readSymbolicLink(fd).toString();
                    String kind = target.startsWith("socket:")
                            ? "socket"
                            : target.startsWith("/memfd:blocktap") || target.startsWith("anon_inode:[eventfd")
                                    ? target.replaceAll(" .*", "")
                                    : "";
                    if (!kind.isEmpty()) {
                        counts.merge(kind, 1, Integer::sum);
                    }
                } catch (IOException e) {
                    continue; // closed meanwhile, the folder's own descriptor for one
                }
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return counts;
    }
}

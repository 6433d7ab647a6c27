package io.blocktap.it.support;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Assumptions;

/** Programs that we did not write. A test that needs one that is not installed is skipped, and says so. */
public final class Tool {
    /** Which Debian package brings a program. */
    private static final Map<String, String> PACKAGES = Map.ofEntries(
            Map.entry("qemu-img", "qemu-utils"),
            Map.entry("qemu-io", "qemu-utils"),
            Map.entry("nbdcopy", "libnbd-bin"),
            Map.entry("nbdinfo", "libnbd-bin"),
            Map.entry("nbd-client", "nbd-client"),
            Map.entry("fio", "fio"),
            Map.entry("strace", "strace"),
            Map.entry("mke2fs", "e2fsprogs"),
            Map.entry("e2fsck", "e2fsprogs"),
            Map.entry("debugfs", "e2fsprogs"),
            Map.entry("ip", "iproute2"),
            Map.entry("insmod", "kmod"),
            Map.entry("depmod", "kmod"),
            Map.entry("qemu-system-x86_64", "qemu-system-x86"),
            Map.entry("python3", "python3-minimal"),
            Map.entry("linux.uml", "user-mode-linux"));

    private Tool() {}

    /** Returns the path of a program, or skips the test with one line that names what is missing. */
    public static String require(String name) {
        return find(name).map(Path::toString).orElseGet(() -> {
            skip("program " + name + " is missing (Debian package " + PACKAGES.getOrDefault(name, name) + ")");
            return name;
        });
    }

    /** Returns whether a program is installed, for a test that does less without it. */
    public static boolean isThere(String name) {
        return find(name).isPresent();
    }

    /** Requires several programs. */
    public static void requireAll(String... names) {
        for (String name : names) {
            require(name);
        }
    }

    /** Skips the test unless it runs as root. */
    public static void requireRoot(String reason) {
        if (!"root".equals(System.getProperty("user.name"))) {
            skip("needs root: " + reason);
        }
    }

    /** Skips the test with one line, in its report and on the standard error. */
    public static void skip(String reason) {
        System.err.println("skipped: " + reason);
        Assumptions.abort(reason);
    }

    /** Looks a program up in PATH, and where Debian keeps those of the administrator. */
    static Optional<Path> find(String name) {
        String path = System.getenv().getOrDefault("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin";
        return List.of(path.split(":")).stream()
                .filter(directory -> !directory.isEmpty())
                .map(directory -> Path.of(directory, name))
                .filter(Files::isExecutable)
                .findFirst();
    }
}

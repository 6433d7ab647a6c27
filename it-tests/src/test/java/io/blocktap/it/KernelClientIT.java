package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.Blocktap;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.Tool;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * The Linux kernel's own NBD client: a guest kernel runs as a process (User-Mode Linux), attaches {@code /dev/nbd0} to our server by nbd-client,
 * and puts a file system to use on it. The guest reaches the server over a tap device in a network namespace of its own.
 */
@Timeout(150)
final class KernelClientIT {
    private static final Duration LIMIT = Duration.ofSeconds(110);
    private static final String NETWORK =
            "blocktap-it-" + ProcessHandle.current().pid();
    private static final String TAP = "bt0";

    @TempDir
    private Path directory;

    private List<String> inNetwork = List.of();

    @BeforeEach
    void makeNetwork() {
        Tool.requireAll("linux.uml", "nbd-client", "insmod", "fio", "ip", "mke2fs", "e2fsck", "debugfs");
        Tool.requireRoot("a network namespace for the guest");
        Exec.Result made = Exec.run("ip", "netns", "add", NETWORK);
        if (made.exitCode() != 0) {
            Tool.skip("no network namespace can be made here: " + made.err().trim());
        }
        inNetwork = List.of(Tool.require("ip"), "netns", "exec", NETWORK);
        inNetwork("ip", "link", "set", "lo", "up").ok();
        Exec.Result device = inNetwork("ip", "tuntap", "add", "dev", TAP, "mode", "tap");
        if (device.exitCode() != 0) {
            Tool.skip("no tap device can be made here: " + device.err().trim());
        }
        inNetwork("ip", "addr", "add", "192.0.2.1/30", "dev", TAP).ok();
        inNetwork("ip", "link", "set", TAP, "up").ok();
    }

    @AfterEach
    void removeNetwork() {
        if (!inNetwork.isEmpty()) {
            Exec.run("ip", "netns", "del", NETWORK).ok();
        }
    }

    private Exec.Result inNetwork(Object... words) {
        List<Object> all = new ArrayList<>(inNetwork);
        all.addAll(List.of(words));
        return Exec.run(all.toArray());
    }

    private ServedDisk serve(String... chain) {
        List<String> arguments = new ArrayList<>(List.of("--tap", "nbd:tcp=192.0.2.1:10809", "--name", "guest"));
        arguments.addAll(List.of(chain));
        return ServedDisk.start(directory, inNetwork, arguments);
    }

    private Path resource(String name) throws IOException {
        Path file = directory.resolve(name);
        try (InputStream in = Objects.requireNonNull(getClass().getResourceAsStream(name), name)) {
            Files.copy(in, file);
        }
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
        return file;
    }

    /** Boots a guest, runs its steps, and asserts that all went well. */
    private String runGuest(String steps, Path tree, int connections) throws IOException {
        // The guest's memory is a file; in memory if that can be had.
        Path memory = Files.isWritable(Path.of("/dev/shm")) ? Path.of("/dev/shm") : directory;
        List<Object> words = new ArrayList<>(inNetwork);
        words.addAll(List.of(
                "env",
                "TMPDIR=" + memory,
                Tool.require("linux.uml"),
                "mem=256M",
                "rootfstype=hostfs",
                "rootflags=/",
                "ro",
                "init=" + resource("uml-init.sh"),
                "vec0:transport=tap,ifname=" + TAP + ",depth=128,gro=1",
                "disk=guest",
                "sockets=" + connections,
                "tree=" + tree,
                "steps=" + resource(steps),
                "con0=fd:0,fd:1",
                "con=null",
                "quiet"));
        Exec.Result result = Exec.run(LIMIT, words.toArray());
        if (result.out().contains("ptrace set fp regs failed")) {
            Tool.skip(
                    "this linux.uml can not run programs on this processor, whose registers are more than it knows (AMX)");
        }
        assertThat(result.out())
                .as(result.toString())
                .contains("guest: end")
                .contains("PASS connect", "PASS umount", "PASS disconnect")
                .doesNotContain("FAIL ", "KERNEL ", "Kernel panic");
        return result.out();
    }

    private void assertHolds(Path image, String inImage, Path original) throws IOException {
        Path taken = directory.resolve("taken");
        Files.deleteIfExists(taken);
        Exec.run("debugfs", "-R", "dump /" + inImage + " " + taken, image).ok();
        assertThat(taken).hasSameBinaryContentAs(original);
    }

    @Test
    void aGuestMakesFillsAndChecksAFileSystem() throws Exception {
        Path tree = Blocktap.root().resolve("tap-transport/src/main");
        Path image = directory.resolve("disk.img");

        String guest;
        try (ServedDisk served = serve("count", "image:" + image + ",size=128M")) {
            guest = runGuest("uml-new-file-system.sh", tree, 1);
            assertThat(served.log()).doesNotContain("WARN");
        }

        assertThat(guest).contains("134217728 bytes, cache: write back");
        Exec.run("e2fsck", "-f", "-n", image).ok();
        String source = "java/io/blocktap/transport/TapChannel.java";
        assertHolds(image, "tree/" + source, tree.resolve(source));
    }

    @Test
    void aGuestUsesAFileSystemOverTwoConnections() throws Exception {
        Path tree = Blocktap.root().resolve("docs");
        Path image = directory.resolve("disk.img");
        Exec.run("mke2fs", "-q", "-t", "ext4", "-d", tree, image, "64M").ok();

        try (ServedDisk served = serve("count", "image:" + image)) {
            runGuest("uml-present-file-system.sh", tree, 2);
            assertThat(served.log()).doesNotContain("WARN");
        }

        Exec.run("e2fsck", "-f", "-n", image).ok();
        assertThat(Exec.run("debugfs", "-R", "ls -p /", image).ok().out())
                .contains("/big/", "/big.sha256/")
                .doesNotContain("/architecture.md/");
    }
}

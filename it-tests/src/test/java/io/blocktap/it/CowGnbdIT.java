package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.ContainerEngine;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.GnbdContainer;
import io.blocktap.it.support.Qcow2;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.Tool;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** blkcowgnbd of 2005: a base that a GNBD server in a container serves read-only, and overlays here. */
@Timeout(120)
final class CowGnbdIT {
    private static final int SIZE = 16 << 20;

    @RegisterExtension
    final GnbdContainer server = new GnbdContainer();

    @TempDir
    private Path directory;

    private Path base;

    @BeforeEach
    void startServer() throws IOException {
        Tool.requireAll("qemu-io", "qemu-img");
        ContainerEngine.require();
        Path far = Files.createDirectory(directory.resolve("far"));
        base = TestData.file(far.resolve("disk.img"), 1, SIZE);
        server.serve(far, "image:disk.img,read-only");
    }

    private ServedDisk overlay(String name) throws IOException {
        return ServedDisk.serve(
                Files.createDirectories(directory.resolve(name)),
                "cow:overlay.qcow2",
                "gnbd:host=127.0.0.1,export=" + GnbdContainer.EXPORT + ",node=" + name + ",port=" + server.port());
    }

    /** Asserts that qemu sees the same in the overlay, once it is told of the base. */
    private void assertQemuSees(String name, String... reads) {
        Path image = directory.resolve(name).resolve("overlay.qcow2");
        Qcow2.assertClean(image);
        Exec.run("qemu-img", "rebase", "-u", "-f", "qcow2", "-b", base, "-F", "raw", image)
                .ok();
        Qcow2.ioOnFile(image, reads);
    }

    @Test
    void twoOverlaysShareABaseOfAnotherMachine() throws IOException {
        String before = TestData.sha256(base);
        String[] ones = {"read -P 1 0 64k", "read -P 1 1000000 3000"};
        String[] twos = {"read -P 2 0 64k", "read -P 2 8M 1M"};
        try (ServedDisk one = overlay("one");
                ServedDisk two = overlay("two")) {
            Qcow2.io(one.uri(), "write -P 1 0 64k", "write -P 1 1000000 3000", "flush");
            Qcow2.io(two.uri(), "write -P 2 0 64k", "write -P 2 8M 1M", "flush");
            Qcow2.io(one.uri(), ones);
            Qcow2.io(two.uri(), twos);
        }
        try (ServedDisk again = overlay("one")) {
            Qcow2.io(again.uri(), ones);
        }
        assertQemuSees("one", ones);
        assertQemuSees("two", twos);
        assertThat(TestData.sha256(base)).isEqualTo(before);
    }

    @Test
    void whenTheBaseIsAwayWhatWasWrittenIsServed() throws IOException {
        try (ServedDisk served = overlay("one")) {
            Qcow2.io(served.uri(), "write -P 1 0 1M", "flush");
            server.pause();
            Qcow2.io(served.uri(), "read -P 1 0 1M", "write -P 2 0 64k", "flush", "read -P 2 0 64k");
            server.unpause();
            Qcow2.io(served.uri(), "write -P 3 2M 4k", "read -P 3 2M 4k");
            Exec.run("qemu-img", "compare", "-f", "raw", "-F", "raw", served.uri(), base)
                    .failed();
        }
    }
}

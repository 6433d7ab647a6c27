package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assumptions;

/** The real qemu-img. */
final class QemuImg {
    private static final Path PROGRAM = Path.of("/usr/bin/qemu-img");

    private QemuImg() {}

    /** Has the test skipped if it is not there. */
    static void require() {
        Assumptions.assumeTrue(Files.isExecutable(PROGRAM), "qemu-img is not installed");
    }

    /** Runs it, and fails if it does. */
    static void run(String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(PROGRAM.toString()));
        command.addAll(List.of(arguments));
        run(command);
    }

    /** Has qemu-io do two things with an image. */
    static void io(String first, String second, Path file) throws IOException, InterruptedException {
        run(List.of("qemu-io", "-f", "qcow2", "-c", first, "-c", second, file.toString()));
    }

    private static void run(List<String> command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor()).as("%s: %s", command, output).isZero();
    }
}

package io.blocktap.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The commands that start a driving process. */
final class BenchIT {
    @TempDir
    private Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"loopback", "nbd"})
    void measuresAChain(String tap) throws Exception {
        try (Program program = Program.start(
                directory, "bench", "--tap", tap, "--rw=randrw", "--qd=4", "--warm-up=1s", "--time=1s", "memory:4M")) {
            assertThat(program.rest())
                    .as(program.errors())
                    .hasSize(5)
                    .anyMatch(line -> line.equals("memory:4M, tap " + tap + ", randrw, 4K, depth 4"))
                    .anyMatch(line -> line.matches("read +\\d+ +0 .*"))
                    .anyMatch(line -> line.matches("write +\\d+ +0 .*"))
                    .anyMatch(line -> line.matches("server: .* us CPU and .* bytes of garbage .*"));
            assertThat(program.exitCode()).isZero();
            assertThat(program.errors()).isEmpty();
        }
    }

    @Test
    void demoVerifiesAndLeavesNothingBehind() throws Exception {
        try (Program program = Program.start(directory, "demo", "--size=4M", "--qd=8")) {
            assertThat(program.rest())
                    .as(program.errors())
                    .contains(
                            "verified: every byte read back through the ring, and 4194304 bytes of the image file itself")
                    .anyMatch(line -> line.matches("read +\\d+ +0 .*"))
                    .anyMatch(line -> line.matches("flush +1 +0 .*"))
                    .anyMatch(line -> line.contains("<WRITE] offset="));
            assertThat(program.exitCode()).isZero();
            assertThat(program.errors()).isEmpty();
        }
        try (var left = Files.list(directory)) {
            assertThat(left.map(Path::getFileName).map(Path::toString)).allMatch(name -> name.startsWith("stderr"));
        }
    }

    @Test
    void measuresAServerThatRuns() throws Exception {
        String tap = "--tap=nbd:unix=" + directory.resolve("n.sock");
        try (Program server = Program.start(directory, "serve", tap, "null")) {
            String uri = server.line().substring("ready: ".length());
            try (Program program = Program.start(
                    directory, "bench", "--uri", uri, "--warm-up=1s", "--time=1s", "--bs=64K", "--json")) {
                assertThat(String.join("\n", program.rest()))
                        .contains("\"blockBytes\": 65536", "\"op\": \"read\"", "\"p99.9\": ");
                assertThat(program.exitCode()).as(program.errors()).isZero();
            }
        }
    }

    @Test
    void destroysNoDataUnlessToldTo() throws Exception {
        Path image = Files.write(directory.resolve("d.img"), filled());

        Cli refused = Cli.run("bench", "--rw", "randwrite", "count", "image:" + image);
        assertThat(refused.code()).isEqualTo(2);
        assertThat(refused.firstError())
                .isEqualTo("blocktap: --rw randwrite would destroy the data in " + image
                        + "; add --destroy-data if nobody needs them, or take --rw read or randread");
        Cli sized = Cli.run("bench", "--rw", "write", "image:" + image + ",size=1M");
        assertThat(sized.code()).isEqualTo(2);
        assertThat(Files.readAllBytes(image)).isEqualTo(filled());

        try (Program program = Program.start(
                directory,
                "bench",
                "--rw=randwrite",
                "--destroy-data",
                "--warm-up=0s",
                "--time=300ms",
                "image:" + image)) {
            assertThat(program.exitCode()).as(program.errors()).isZero();
        }
        assertThat(Files.readAllBytes(image)).isNotEqualTo(filled());
    }

    @Test
    void writesToAnImageThatItMakes() throws Exception {
        try (Program program = Program.start(
                directory, "bench", "--rw=write", "--warm-up=0s", "--time=300ms", "image:fresh.img,size=1M")) {
            assertThat(program.exitCode()).as(program.errors()).isZero();
        }
    }

    private static byte[] filled() {
        byte[] data = new byte[1 << 20];
        Arrays.fill(data, (byte) 7);
        return data;
    }

    @Test
    void aFailureOfTheDrivingProcessIsAFailure() throws Exception {
        try (Program program = Program.start(directory, "bench", "--uri=nbd+unix:///?socket=/nonexistent/n.sock")) {
            assertThat(program.exitCode()).isEqualTo(1);
            assertThat(program.errors())
                    .contains(
                            "nobody listens on /nonexistent/n.sock",
                            "blocktap: bench: the driving process failed with exit code 1");
            assertThat(program.rest()).isEmpty();
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "--bs=100 null | --bs 100: a multiple of 512, at most 1M",
                "--bs=4Q null | --bs 4Q: not a size;",
                "--qd=0 null | --qd 0: it is 1 to 1024",
                "--jobs=0 null | --jobs 0: it is 1 to 256",
                "--rw=ranread null | --rw ranread: did you mean randread?",
                "--time=5 null | --time 5: not a time;",
                "--uri=http://x | 'http://x': not a URI that can be driven;",
                "--uri=nbd://a null | 'null': --uri measures a server that runs; leave out either",
                "memory | 'memory': memory needs size",
                "--time=0s null | --time 0s: it is 1ms or more",
                "--rw=randrw --uri=nbd://a | --rw randrw would destroy the data in nbd://a; add --destroy-data",
            })
    void refusesNonsense(String words, String expected) {
        Cli cli = Cli.run(("bench " + words).split(" "));

        assertThat(cli.code()).isEqualTo(2);
        assertThat(cli.firstError()).startsWith("blocktap: " + expected);
    }
}

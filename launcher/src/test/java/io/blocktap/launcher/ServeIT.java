package io.blocktap.launcher;

import static java.util.concurrent.TimeUnit.SECONDS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.launcher.server.TestFrontend;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The life of {@code blocktap serve} as a process: ready, signals, drain, captive commands, exit codes. */
final class ServeIT {
    private static final String MODULE = "--module=" + TestStages.class.getName();

    @TempDir
    private Path directory;

    private Path socket;
    private String tap;

    @BeforeEach
    void choose() {
        socket = directory.resolve("l.sock");
        tap = "--tap=loopback:" + socket;
    }

    @ParameterizedTest
    @ValueSource(strings = {"TERM", "INT", "HUP"})
    void aSignalDrainsAndExitsCleanly(String signal) throws Exception {
        Assumptions.assumeFalse(
                isIgnoredHere(signal), () -> "SIG" + signal + " is ignored by whoever started the tests, so by us");
        try (Program program = Program.start(directory, "serve", tap, "--pid-file=pid", "memory:1M")) {
            assertThat(program.line()).isEqualTo("ready: loopback:unix=" + socket);
            assertThat(Files.readString(directory.resolve("pid"))).isEqualTo(program.pid() + "\n");

            program.signal(signal);

            assertThat(program.exitCode()).as(program.errors()).isZero();
            assertThat(program.rest()).isEmpty();
            assertThat(directory.resolve("pid")).doesNotExist();
            assertThat(socket).doesNotExist();
        }
    }

    /** A shell starts background jobs with SIGINT ignored; children inherit that, and a JVM leaves it so. */
    private static boolean isIgnoredHere(String signal) throws Exception {
        int number = switch (signal) {
            case "HUP" -> 1;
            case "INT" -> 2;
            default -> 15;
        };
        String mask = Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("SigIgn:"))
                .findFirst()
                .orElseThrow()
                .substring(7)
                .trim();
        return (Long.parseUnsignedLong(mask, 16) >>> number - 1 & 1) == 1;
    }

    @Test
    void saysReadyAsJson() throws Exception {
        try (Program program = Program.start(
                directory, "serve", tap, "--json", "--name=vm1", "--log-level=debug", "count", "memory:1M")) {
            assertThat(program.line())
                    .isEqualTo("{\"event\": \"ready\", \"pid\": " + program.pid() + ", \"uris\": [\"loopback:unix="
                            + socket
                            + "\"], \"disks\": [{\"name\": \"vm1\", \"stages\": [\"count\", \"memory\"], \"chain\": \"count"
                            + " memory:1M\", \"sizeBytes\": 1048576, \"readOnly\": false}]}");
        }
    }

    @Test
    void answersWhatIsInFlightBeforeItEnds() throws Exception {
        try (Program program = Program.start(directory, "serve", tap, MODULE, "late", "memory:1M")) {
            program.line();
            try (TestFrontend frontend = TestFrontend.connect(socket, "")) {
                frontend.write(0, filled()).get(10, SECONDS);
                ByteBuf target = Unpooled.buffer(512, 512);
                CompletableFuture<Void> read = frontend.disk().read(0, target);
                awaitInFlight(program);

                program.signal("TERM");
                program.signal("TERM"); // as timeout(1) does

                read.get(10, SECONDS);
                assertThat(target.getByte(0)).isEqualTo((byte) 7);
                assertThat(program.exitCode()).as(program.errors()).isZero();
            }
        }
    }

    /** Soon after the first one it would count as the same. */
    private static void signalAgain(Program program) throws Exception {
        await().atMost(10, SECONDS).until(() -> {
            program.signal("TERM");
            return !program.isAlive();
        });
    }

    @Test
    void aSecondSignalEndsItHardAndSaysWhatWasInFlight() throws Exception {
        try (Program program = Program.start(directory, "serve", tap, MODULE, "stuck", "memory:1M")) {
            program.line();
            try (TestFrontend frontend = TestFrontend.connect(socket, "")) {
                CompletableFuture<Void> lost = frontend.disk().read(0, Unpooled.buffer(512, 512));
                awaitInFlight(program);

                program.signal("TERM");
                await().atMost(10, SECONDS).until(() -> !Files.exists(socket));
                signalAgain(program);

                assertThat(program.exitCode()).isEqualTo(1);
                assertThat(program.errors())
                        .contains(
                                "blocktap: a second SIGTERM ends it hard; ",
                                "session 1 (loopback",
                                ": 1 requests in flight");
                await().atMost(10, SECONDS).until(lost::isCompletedExceptionally);
            }
        }
    }

    @Test
    void theDrainTimeoutEndsItHardAndSaysWhatWasInFlight() throws Exception {
        try (Program program =
                Program.start(directory, "serve", tap, MODULE, "--drain-timeout=100ms", "stuck", "memory:1M")) {
            program.line();
            try (TestFrontend frontend = TestFrontend.connect(socket, "")) {
                CompletableFuture<Void> lost = frontend.disk().read(0, Unpooled.buffer(512, 512));
                awaitInFlight(program);

                program.signal("TERM");

                assertThat(program.exitCode()).isEqualTo(1);
                assertThat(program.errors())
                        .contains("blocktap: not drained within 100ms: ", ": 1 requests in flight")
                        .doesNotContain("\tat ");
                await().atMost(10, SECONDS).until(lost::isCompletedExceptionally);
            }
        }
    }

    @Test
    void aSignalDuringTheStartEndsItWithExitCode1() throws Exception {
        try (Program program = Program.start(directory, "serve", tap, MODULE, "hangs", "memory:1M")) {
            await().atMost(20, SECONDS).until(() -> program.errors().contains(TestStages.OPENING));

            program.signal("TERM");

            assertThat(program.exitCode()).isEqualTo(1);
            assertThat(program.errors()).contains("blocktap: SIGTERM during the start: nothing was served");
        }
    }

    @Test
    void aSecondSignalEndsItThoughNobodyReadsTheStandardError() throws Exception {
        Path err = directory.resolve("err.fifo");
        assertThat(new ProcessBuilder("mkfifo", err.toString()).start().waitFor())
                .isZero();
        try (RandomAccessFile pipe = new RandomAccessFile(err.toFile(), "rw")) {
            Thread filling = new Thread(() -> fill(pipe), "fills-the-pipe");
            filling.setDaemon(true);
            filling.start();
            try (Program program =
                    Program.start(directory, err, "serve", tap, MODULE, "--pid-file=pid", "mute-flush", "memory:1M")) {
                assertThat(program.line()).startsWith("ready: ");
                program.signal("TERM");
                await("the drain has begun").atMost(10, SECONDS).until(() -> !Files.exists(socket));
                assertThat(directory.resolve("pid"))
                        .as("stays until all is closed")
                        .exists();

                signalAgain(program);

                assertThat(program.exitCode()).isEqualTo(1);
            }
        }
    }

    /** Writes until the pipe is full, and then waits in the kernel until the pipe is closed. */
    private static void fill(RandomAccessFile pipe) {
        try {
            pipe.write(new byte[1 << 20]);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void oneDisksFailureKeepsNoOtherFromItsFlush() throws Exception {
        Files.writeString(directory.resolve("d.yaml"), """
                taps: ["loopback:l.sock"]
                disks:
                  a: {chain: "mute-flush memory:1M"}
                  b: {chain: "no-flush no-close memory:1M"}
                  c: {chain: "dump:c.txt memory:1M"}
                """);
        try (Program program =
                Program.start(directory, "serve", "--config=d.yaml", MODULE, "--drain-timeout=1s", "--pid-file=pid")) {
            program.line();

            program.signal("TERM");

            assertThat(program.exitCode()).isEqualTo(1);
            assertThat(program.errors())
                    .contains("not drained within 1s", "disk 'b': the last flush failed with IO_ERROR");
            assertThat(directory.resolve("c.txt")).content().contains("FLUSH");
            assertThat(directory.resolve("pid")).doesNotExist();
        }
    }

    @Test
    void aRunningServersPidFileIsNotTakenOver() throws Exception {
        try (Program first = Program.start(directory, "serve", tap, "--pid-file=pid", "memory:1M")) {
            first.line();
            try (Program second =
                    Program.start(directory, "serve", "--tap=nbd:unix=other", "--pid-file=pid", "memory:1M")) {
                assertThat(second.exitCode()).isEqualTo(1);
                assertThat(second.errors())
                        .contains("--pid-file pid is that of a running server, process " + first.pid()
                                + "; stop that one, or name another file");
            }
            assertThat(Files.readString(directory.resolve("pid"))).isEqualTo(first.pid() + "\n");
            first.signal("TERM");
            assertThat(first.exitCode()).isZero();
        }
        // What a hard end leaves is no obstacle: the number is nobody's, or another program's.
        for (String stale : List.of("4194305", "1", "none")) {
            Files.writeString(directory.resolve("pid"), stale + "\n");
            try (Program next = Program.start(directory, "serve", tap, "--pid-file=pid", "memory:1M")) {
                assertThat(next.line()).startsWith("ready: ");
                next.signal("TERM");
                assertThat(next.exitCode()).isZero();
            }
        }
    }

    @Test
    void theLogTellsTheLifeOfTheServer() throws Exception {
        try (Program program = Program.start(directory, "serve", tap, "--name=vm1", "memory:1M")) {
            program.line();
            program.signal("TERM");

            assertThat(program.exitCode()).isZero();
            String stamp = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}(Z|[+-]\\d\\d:\\d\\d) INFO +";
            assertThat(program.errors().lines().toList())
                    .satisfiesExactly(
                            line -> assertThat(line).matches(stamp + "disk 'vm1': memory:1M, 1048576 bytes"),
                            line -> assertThat(line)
                                    .matches(stamp + "clients connect to loopback:unix=.*,disk=vm1|" + stamp
                                            + "clients connect to loopback:.*"),
                            line -> assertThat(line)
                                    .matches(stamp + "blocktap .* is ready: pid " + program.pid() + ", .*"),
                            line -> assertThat(line).matches(stamp + "SIGTERM: no new requests from now on; .*"),
                            line -> assertThat(line).matches(stamp + "draining: 0 requests in flight, 0 sessions"),
                            line -> assertThat(line).matches(stamp + "drained in \\d+ ms: .*"),
                            line -> assertThat(line).matches(stamp + "stopped"));
        }
    }

    @Test
    void aFailedLastFlushIsAFailure() throws Exception {
        try (Program program = Program.start(directory, "serve", tap, MODULE, "--name=vm1", "no-flush", "memory:1M")) {
            program.line();

            program.signal("TERM");

            assertThat(program.exitCode()).isEqualTo(1);
            assertThat(program.errors()).contains("blocktap: disk 'vm1': the last flush failed with IO_ERROR; ");
        }
    }

    @Test
    void aCommandFindsTheAddressAndItsExitCodeIsPassedOn() throws Exception {
        String nbd = "--tap=nbd:unix=" + directory.resolve("n.sock");
        try (Program program = Program.start(
                directory,
                "serve",
                nbd,
                "memory:1M",
                "--",
                "sh",
                "-c",
                "echo $BLOCKTAP_URI $uri $unixsocket; exit 9")) {
            String uri = "nbd+unix:///?socket=" + directory.resolve("n.sock");

            assertThat(program.line()).isEqualTo(uri + " " + uri + " " + directory.resolve("n.sock"));
            assertThat(program.exitCode()).isEqualTo(9);
            assertThat(program.rest()).isEmpty();
        }
    }

    @Test
    void aSignalEndsTheCommandToo() throws Exception {
        try (Program program =
                Program.start(directory, "serve", tap, "memory:1M", "--", "sh", "-c", "echo there; exec sleep 100")) {
            assertThat(program.line()).isEqualTo("there");

            program.signal("TERM");

            assertThat(program.exitCode()).isEqualTo(128 + 15);
            assertThat(socket).doesNotExist();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "/nonexistent/tool, 127, /nonexistent/tool: command not found",
        "no-such-tool-anywhere, 127, no-such-tool-anywhere: command not found on the PATH",
        "./plain.txt, 126, ./plain.txt: is not executable; chmod +x it",
        "/tmp, 126, /tmp: is a directory",
    })
    void aCommandThatCanNotBeStartedEndsItAsInAShell(String command, int exitCode, String told) throws Exception {
        Files.writeString(directory.resolve("plain.txt"), "no program");
        try (Program program = Program.start(directory, "serve", tap, "memory:1M", "--", command)) {
            assertThat(program.exitCode()).as(program.errors()).isEqualTo(exitCode);
            assertThat(program.errors().lines().filter(line -> line.startsWith("blocktap: ")))
                    .containsExactly("blocktap: " + told);
            assertThat(socket).doesNotExist();
        }
    }

    @Test
    void servesTheDisksOfAFile() throws Exception {
        Files.writeString(directory.resolve("d.yaml"), """
                taps: ["loopback:l.sock"]
                disks:
                  a: {chain: "memory:1M"}
                  b: {chain: "count memory:2M"}
                """);
        try (Program program = Program.start(directory, "serve", "--config=d.yaml", "--threads=2")) {
            assertThat(program.line())
                    .isEqualTo("ready: loopback:unix=" + socket + ",disk=a loopback:unix=" + socket + ",disk=b");
            try (TestFrontend frontend = TestFrontend.connect(socket, "b")) {
                assertThat(frontend.disk().geometry().capacitySectors()).isEqualTo(4096);
            }

            program.signal("TERM");

            assertThat(program.exitCode()).as(program.errors()).isZero();
        }
    }

    @Test
    void mistakesInTheFileHaveAPlace() throws Exception {
        Files.writeString(
                directory.resolve("d.yaml"),
                "taps: [ndb:x]\ndisks:\n  a: {chain: \"dump memry:1M\"}\n  b: {chain: [dump]}\n");
        try (Program program = Program.start(directory, "serve", "--config=d.yaml")) {
            assertThat(program.exitCode()).isEqualTo(2);
            assertThat(program.errors().lines().toList())
                    .hasSize(3)
                    .contains("blocktap: d.yaml:1:8: 'ndb:x': there is no tap 'ndb'; did you mean nbd?")
                    .contains("blocktap: d.yaml:3:20: 'memry:1M': there is no stage 'memry'; did you mean memory?")
                    .anyMatch(
                            line -> line.startsWith("blocktap: d.yaml:4:15: 'dump': the chain ends here, but dump is"));
        }
    }

    private static byte[] filled() {
        byte[] data = new byte[512];
        java.util.Arrays.fill(data, (byte) 7);
        return data;
    }

    /** The stages of {@link TestStages} say so when they keep a request. */
    private static void awaitInFlight(Program program) {
        await().atMost(10, SECONDS).until(() -> program.errors().contains(TestStages.KEPT));
    }
}

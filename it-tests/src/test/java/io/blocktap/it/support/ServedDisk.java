package io.blocktap.it.support;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;

/**
 * {@code ./blocktap serve} as a process of its own: the real program with the real command line, under Netty's strictest leak detection.
 *
 * <p>{@link #close} stops it by SIGTERM and asserts that it ends well: in time, with exit code 0, without its sockets, without a leak and
 * without an error in its log.
 */
public final class ServedDisk implements AutoCloseable {
    private static final Duration START_LIMIT = Duration.ofSeconds(30);
    private static final Duration STOP_LIMIT = Duration.ofSeconds(10);
    private static final String NBD_SOCKET = "nbd.sock";
    private static final String RING_SOCKET = "ring.sock";

    private final Path directory;
    private final Process process;
    private final Path out;
    private final Path err;
    private final Map<String, Object> ready;
    private String expectedError = "";
    private boolean ended;

    private ServedDisk(Path directory, Process process, Path out, Path err) {
        this.directory = directory;
        this.process = process;
        this.out = out;
        this.err = err;
        this.ready = awaitReady();
    }

    /** Serves one chain over NBD and over a loopback ring, both on sockets in the directory. */
    public static ServedDisk serve(Path directory, String... chain) {
        List<String> arguments = new ArrayList<>(taps(directory));
        arguments.addAll(List.of(chain));
        return start(directory, List.of(), arguments);
    }

    /** Returns the arguments for both taps. */
    public static List<String> taps(Path directory) {
        return List.of(
                "--tap", "nbd:unix=" + directory.resolve(NBD_SOCKET),
                "--tap", "loopback:unix=" + directory.resolve(RING_SOCKET));
    }

    /**
     * Serves what the arguments of {@code serve} say.
     *
     * @param directory for its outputs; also its working directory
     * @param prefix words before the program: {@code ip netns exec NAME}
     * @param arguments those after {@code serve}
     */
    public static ServedDisk start(Path directory, List<String> prefix, List<String> arguments) {
        try {
            Path out = Files.createTempFile(directory, "serve", ".out");
            Path err = Files.createTempFile(directory, "serve", ".err");
            ProcessBuilder builder = Blocktap.builder(prefix, "serve", "--json")
                    .directory(directory.toFile())
                    .redirectOutput(out.toFile())
                    .redirectError(err.toFile());
            builder.command().addAll(arguments);
            Process process = builder.start();
            process.getOutputStream().close();
            try {
                return new ServedDisk(directory, process, out, err);
            } catch (RuntimeException | Error e) {
                process.destroyForcibly();
                throw e;
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Map<String, Object> awaitReady() {
        await("the ready line of the server").atMost(START_LIMIT).until(() -> {
            assertThat(process.isAlive() || out().contains("\n"))
                    .as("ended before it was ready: " + log())
                    .isTrue();
            return out().contains("\n");
        });
        Map<String, Object> line = Json.object(out().lines().findFirst().orElseThrow());
        assertThat(line).containsEntry("event", "ready");
        return line;
    }

    // ---- where it is

    /** Returns the directory that was given. */
    public Path directory() {
        return directory;
    }

    /** Returns the URI of the default disk, for NBD clients. */
    public String uri() {
        return uri("");
    }

    /** Returns the URI of a disk, for NBD clients. */
    public String uri(String disk) {
        return "nbd+unix:///" + disk + "?socket=" + nbdSocket();
    }

    /** Returns the socket of the tap {@code nbd}. */
    public Path nbdSocket() {
        return directory.resolve(NBD_SOCKET);
    }

    /** Returns the socket of the tap {@code loopback}. */
    public Path ringSocket() {
        return directory.resolve(RING_SOCKET);
    }

    /** Returns the object that the server printed when it was ready. */
    public Map<String, Object> ready() {
        return ready;
    }

    /** Returns the process id of the server itself. */
    public long pid() {
        return ((Number) ready.get("pid")).longValue();
    }

    // ---- what it does

    /** Returns what it has printed to the standard output so far. */
    public String out() {
        return text(out);
    }

    /** Returns what it has logged so far. */
    public String log() {
        return text(err);
    }

    /** Waits until the server has logged a text: its log is written a moment after what it tells of. */
    public void awaitLog(String text) {
        await("the log to tell: " + text).atMost(START_LIMIT).until(() -> log().contains(text));
    }

    private static String text(Path file) {
        try {
            return Files.readString(file, StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns the number of its open descriptors. */
    public int descriptors() {
        return ProcFs.descriptors(pid());
    }

    /** Waits until the number of its descriptors does not change any more, and returns it. */
    public int awaitSteadyDescriptors() {
        await("a steady number of descriptors")
                .atMost(Duration.ofSeconds(10))
                .during(Duration.ofMillis(300))
                .until(new SameAsBefore());
        return descriptors();
    }

    private final class SameAsBefore implements Callable<Boolean> {
        private int last = -1;

        @Override
        public Boolean call() {
            int now = descriptors();
            boolean same = now == last;
            last = now;
            return same;
        }
    }

    /** Waits until it has as many descriptors as before. */
    public void awaitDescriptors(int before) {
        await("the server's descriptors are as before")
                .atMost(Duration.ofSeconds(15))
                .untilAsserted(() -> assertThat(descriptors())
                        .as(() -> ProcFs.descriptorKinds(pid()).toString())
                        .isEqualTo(before));
    }

    /** Returns the lines of its memory map. */
    public List<String> mappings() {
        return ProcFs.mappings(pid());
    }

    /** Asserts that it runs. */
    public void assertAlive() {
        assertThat(process.isAlive()).as(log()).isTrue();
    }

    /** Says that lines at level ERROR that match a regular expression belong to the test. */
    public void expectErrors(String regex) {
        expectedError = regex;
    }

    // ---- its end

    /** Sends it a signal by name: {@code TERM}. */
    public void signal(String name) {
        Exec.run("kill", "-" + name, pid()).ok();
    }

    /** Ends it by SIGKILL, as a crash would, and waits until it is gone. */
    public void crash() {
        ended = true;
        signal("KILL");
        process.onExit().join();
    }

    /** Waits for its end and returns its exit code. */
    public int awaitExit() {
        ended = true;
        try {
            if (!process.waitFor(STOP_LIMIT.toMillis(), TimeUnit.MILLISECONDS)) {
                String stuck = Exec.run("jstack", pid()).all();
                process.destroyForcibly();
                throw new AssertionError("still runs " + STOP_LIMIT + " after SIGTERM: " + log() + stuck);
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            throw new AssertionError("interrupted while the server ended: " + log(), e);
        }
        return process.exitValue();
    }

    /** Stops it by SIGTERM and asserts that it ends well, if the test has not ended it. */
    @Override
    public void close() {
        if (ended) {
            return;
        }
        assertAlive();
        signal("TERM");
        assertThat(awaitExit()).as(log()).isZero();
        assertEndedWell();
    }

    /** Asserts what must hold after every orderly end. */
    public void assertEndedWell() {
        assertThat(nbdSocket()).doesNotExist();
        assertThat(ringSocket()).doesNotExist();
        assertThat(log()).doesNotContain("LEAK:");
        assertThat(log().lines().filter(line -> line.matches("\\S+ ERROR .*")))
                .allMatch(line -> !expectedError.isEmpty() && line.matches(".*(" + expectedError + ").*"));
    }
}

package io.blocktap.it.support;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A program that runs or ran, with what it printed. */
public final class Exec implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final List<String> command;
    private final Process process;
    private final Path out;
    private final Path err;

    /**
     * How a program ended.
     *
     * @param command its words
     * @param exitCode 128 and the signal's number if a signal ended it
     * @param out its standard output
     * @param err its standard error
     */
    public record Result(List<String> command, int exitCode, String out, String err) {
        /** Asserts that it ended well. */
        public Result ok() {
            assertThat(exitCode).as(toString()).isZero();
            return this;
        }

        /** Asserts that it failed. */
        public Result failed() {
            assertThat(exitCode).as(toString()).isNotZero();
            return this;
        }

        /** Returns both outputs. */
        public String all() {
            return out + err;
        }

        @Override
        public String toString() {
            return String.join(" ", command) + "\nexit code " + exitCode + "\n--- out\n" + out + "--- err\n" + err;
        }
    }

    private Exec(List<String> command, @Nullable Path directory) throws IOException {
        this.command = command;
        out = Files.createTempFile("blocktap-it", ".out");
        err = Files.createTempFile("blocktap-it", ".err");
        // Not a closed pipe: User-Mode Linux takes that for a terminal that was hung up, and prints no more.
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectInput(Path.of("/dev/null").toFile())
                .redirectOutput(out.toFile())
                .redirectError(err.toFile());
        builder.environment().put("LC_ALL", "C");
        builder.environment().merge("PATH", "/usr/sbin:/sbin", (path, more) -> path + ":" + more);
        if (directory != null) {
            builder.directory(directory.toFile());
        }
        process = builder.start();
    }

    /** Runs a program to its end, at most a minute. */
    public static Result run(Object... words) {
        return run(LIMIT, words);
    }

    /** Runs a program to its end; one that takes longer than the limit is killed and fails the test. */
    public static Result run(Duration limit, Object... words) {
        try (Exec program = start(words)) {
            return program.await(limit);
        }
    }

    /** Starts a program; {@link #close} kills it if it still runs. */
    public static Exec start(Object... words) {
        return startIn(null, words);
    }

    /** Starts a program in a directory. */
    public static Exec startIn(@Nullable Path directory, Object... words) {
        try {
            return new Exec(Stream.of(words).map(String::valueOf).toList(), directory);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Waits for the end. */
    public Result await(Duration limit) {
        try {
            if (!process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS)) {
                kill();
                throw new AssertionError("not over after " + limit + ": " + result(-1));
            }
            return result(process.exitValue());
        } catch (InterruptedException e) {
            kill();
            throw new AssertionError("interrupted while it ran: " + result(-1), e);
        }
    }

    private Result result(int exitCode) {
        return new Result(command, exitCode, out(), err());
    }

    /** Returns what it has printed so far. */
    public String out() {
        return text(out);
    }

    /** Returns what it has printed to the standard error so far. */
    public String err() {
        return text(err);
    }

    /** Returns what it has printed so far to either. */
    public String all() {
        return out() + err();
    }

    private static String text(Path file) {
        try {
            return Files.readString(file, StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns whether it still runs. */
    public boolean isAlive() {
        return process.isAlive();
    }

    /** Returns its process id. */
    public long pid() {
        return process.pid();
    }

    /** Sends it a signal by name: {@code KILL}. */
    public void signal(String name) {
        Exec.run("kill", "-" + name, pid()).ok();
    }

    /** Ends it and its children at once, with SIGKILL, and waits until they are gone. */
    public void kill() {
        List<ProcessHandle> all = Stream.concat(process.descendants(), Stream.of(process.toHandle()))
                .toList();
        all.forEach(ProcessHandle::destroyForcibly);
        all.forEach(each -> each.onExit().join());
    }

    @Override
    public void close() {
        if (isAlive()) {
            kill();
        }
        out.toFile().delete();
        err.toFile().delete();
    }
}

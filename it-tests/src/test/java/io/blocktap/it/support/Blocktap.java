package io.blocktap.it.support;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Runs {@code ./blocktap}, the script that users run, on the build under test. */
public final class Blocktap {
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private Blocktap() {}

    /** Returns the root of the checkout. */
    public static Path root() {
        String root = System.getProperty("blocktap.root");
        if (root == null) {
            throw new IllegalStateException("run with -Dblocktap.root=DIR, the root of the checkout; ./check does");
        }
        return Path.of(root);
    }

    /** Prepares a run: {@code prefix ./blocktap words}. Netty reports every leaked buffer in the log. */
    static ProcessBuilder builder(List<String> prefix, String... words) {
        List<String> command = new ArrayList<>(prefix);
        command.add(root().resolve("blocktap").toString());
        command.addAll(List.of(words));
        ProcessBuilder builder = new ProcessBuilder(command);
        builder.environment().put("BLOCKTAP_NO_BUILD", "1");
        builder.environment().put("BLOCKTAP_JAVA_OPTS", "-Dio.netty.leakDetection.level=paranoid");
        // The same Java as the tests run with.
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        builder.environment().merge("PATH", "/usr/sbin:/sbin", (path, more) -> path + ":" + more);
        return builder;
    }

    /** Runs a command to its end, at most a minute. */
    public static Exec.Result run(Path directory, String... words) {
        try {
            Path out = Files.createTempFile(directory, "run", ".out");
            Path err = Files.createTempFile(directory, "run", ".err");
            Process process = builder(List.of(), words)
                    .directory(directory.toFile())
                    .redirectOutput(out.toFile())
                    .redirectError(err.toFile())
                    .start();
            process.getOutputStream().close();
            boolean over = process.waitFor(LIMIT.toMillis(), TimeUnit.MILLISECONDS);
            if (!over) {
                process.descendants().forEach(ProcessHandle::destroyForcibly);
                process.destroyForcibly();
            }
            Exec.Result result = new Exec.Result(
                    List.of(words),
                    over ? process.exitValue() : -1,
                    Files.readString(out, StandardCharsets.UTF_8),
                    Files.readString(err, StandardCharsets.UTF_8));
            if (!over) {
                throw new AssertionError("not over after " + LIMIT + ": " + result);
            }
            return result;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new AssertionError("interrupted", e);
        }
    }
}

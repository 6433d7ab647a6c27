package io.blocktap.it.support;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.awaitility.Awaitility;

/** One boot of the Xen lab, in which all scenarios run one after the other ({@code src/test/lab/suite.sh}), and what it has said of them so far. */
public final class XenLab implements AutoCloseable {
    /** Where the lab's scripts are. */
    public static final Path SCRIPTS = Blocktap.root().resolve("it-tests/src/test/lab");

    private static final Duration BUILD_LIMIT = Duration.ofMinutes(10);
    /** For all scenarios, on a machine that does something else besides; the lab's own limit ends it before. */
    private static final Duration RUN_LIMIT = Duration.ofMinutes(19);

    private final Process process;
    private final Path log;

    /**
     * How a scenario ended.
     *
     * @param exitCode 0 if all that it proves held
     * @param seconds how long it took
     * @param said what it printed
     */
    public record Ending(int exitCode, int seconds, String said) {}

    private XenLab(Process process, Path log) {
        this.process = process;
        this.log = log;
    }

    /** Builds the lab if it is not built yet, and starts all scenarios in it. */
    public static XenLab start() {
        Path build =
                Blocktap.root().resolve("it-tests").resolve(System.getenv().getOrDefault("BLOCKTAP_BUILD", "target"));
        try {
            Path log = Files.createDirectories(build).resolve("xen-lab.log");
            Process built = run(build.resolve("xen-lab-build.log"), Map.of("BLOCKTAP_LAB_BUILD", "1"));
            if (!built.waitFor(BUILD_LIMIT.toMillis(), TimeUnit.MILLISECONDS) || built.exitValue() != 0) {
                kill(built);
                throw new AssertionError(
                        "the lab can not be built: " + Files.readString(build.resolve("xen-lab-build.log")));
            }
            return new XenLab(
                    run(log, Map.of("BLOCKTAP_LAB_TIMEOUT", String.valueOf(RUN_LIMIT.toSeconds() - 30))), log);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new AssertionError("interrupted", e);
        }
    }

    private static Process run(Path log, Map<String, String> environment) throws IOException {
        ProcessBuilder builder = new ProcessBuilder(SCRIPTS.resolve("lab.sh").toString())
                .redirectInput(Path.of("/dev/null").toFile())
                .redirectErrorStream(true)
                .redirectOutput(log.toFile());
        builder.environment().merge("PATH", "/usr/sbin:/sbin", (path, more) -> path + ":" + more);
        builder.environment().putAll(environment);
        return builder.start();
    }

    /** Waits for the end of a scenario; those before it have ended then. */
    public Ending await(String scenario) {
        Pattern whole = Pattern.compile("(?ms)^LAB-BEGIN " + Pattern.quote(scenario) + "$(.*?)^LAB-END "
                + Pattern.quote(scenario) + " (\\d+) (\\d+)$");
        awaitUntil(() -> !process.isAlive() || log().contains("LAB-END " + scenario + " "));
        Matcher matcher = whole.matcher(log());
        if (!matcher.find()) {
            throw new AssertionError("scenario " + scenario + " has not run to its end: " + lastLines());
        }
        return new Ending(Integer.parseInt(matcher.group(2)), Integer.parseInt(matcher.group(3)), matcher.group(1));
    }

    /** Waits until the lab has ended; returns its exit code. */
    public int awaitEnd() {
        awaitUntil(() -> !process.isAlive());
        return process.exitValue();
    }

    private void awaitUntil(Callable<Boolean> condition) {
        Awaitility.await()
                .atMost(RUN_LIMIT)
                .pollInterval(Duration.ofMillis(500))
                .until(condition);
    }

    private String log() {
        try {
            return Files.readString(log, StandardCharsets.ISO_8859_1).replace("\r", "");
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Returns the end of what the lab has said, and where the rest is. */
    public String lastLines() {
        String all = log();
        return log + ":\n" + all.substring(Math.max(0, all.length() - 6000));
    }

    private static void kill(Process process) {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
    }

    /** Ends the machine, if it still runs. */
    @Override
    public void close() {
        kill(process);
    }
}

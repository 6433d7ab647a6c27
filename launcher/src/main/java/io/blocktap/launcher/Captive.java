package io.blocktap.launcher;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The command of {@code serve ... -- COMMAND}: it is given the server's addresses, and the server lives as long as it does. */
final class Captive {
    /** All addresses start with this; the first one has no number. */
    private static final String URI = "BLOCKTAP_URI";

    private static final Pattern SOCKET = Pattern.compile("[?&]socket=([^&]*)");

    private static final int NOT_FOUND = 127;
    private static final int NOT_RUNNABLE = 126;

    private final Process process;

    private Captive(Process process) {
        this.process = process;
    }

    /**
     * Starts the command with the standard streams of this process.
     *
     * @param uris {@code BLOCKTAP_URI} and {@code uri} become the first, {@code BLOCKTAP_URI_2} and so on the others; {@code unixsocket} the
     *     socket of the first that has one, as captive commands of nbdkit expect
     */
    static Captive start(List<String> command, List<String> uris) throws FailedException {
        ProcessBuilder builder = new ProcessBuilder(command).inheritIO();
        Map<String, String> environment = builder.environment();
        for (int i = 0; i < uris.size(); i++) {
            environment.put(i == 0 ? URI : URI + "_" + (i + 1), uris.get(i));
        }
        if (!uris.isEmpty()) {
            environment.put("uri", uris.get(0));
        }
        for (String uri : uris) {
            Matcher matcher = SOCKET.matcher(uri);
            if (matcher.find()) {
                environment.put(
                        "unixsocket",
                        java.net.URLDecoder.decode(
                                matcher.group(1).replace("+", "%2B"), java.nio.charset.StandardCharsets.UTF_8));
                break;
            }
        }
        try {
            return new Captive(builder.start());
        } catch (IOException e) {
            throw notStarted(command.get(0), e);
        }
    }

    /** Says why, with the exit codes of a shell: 127 if there is no such command, 126 if there is one that can not be run. */
    private static FailedException notStarted(String name, IOException failure) {
        List<Path> places = name.indexOf('/') >= 0
                ? List.of(Path.of(name))
                : Stream.of(System.getenv().getOrDefault("PATH", "").split(":"))
                        .map(folder -> Path.of(folder).resolve(name))
                        .toList();
        Optional<Path> there =
                places.stream().filter(place -> Files.exists(place)).findFirst();
        if (there.isEmpty()) {
            return new FailedException(
                    name + ": command not found" + (name.indexOf('/') >= 0 ? "" : " on the PATH"), failure, NOT_FOUND);
        }
        Path file = there.get();
        String why = Files.isDirectory(file)
                ? "is a directory"
                : Files.isExecutable(file) ? String.valueOf(failure.getMessage()) : "is not executable; chmod +x it";
        return new FailedException(file + ": " + why, failure, NOT_RUNNABLE);
    }

    /** Calls the task when the command has ended. */
    void onExit(Runnable task) {
        process.onExit().thenRun(task);
    }

    /** Asks the command to end, and waits for it. */
    void end() {
        process.destroy();
        process.onExit().join();
    }

    /** Ends the command at once. */
    void kill() {
        process.destroyForcibly();
    }

    /** Returns how the command ended; 128 and the signal's number if a signal ended it. */
    int exitCode() {
        return process.exitValue();
    }
}

package io.blocktap.launcher;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The command of {@code serve ... -- COMMAND}: it is given the server's addresses, and the server lives as long as it does. */
final class Captive {
    /** All addresses start with this; the first one has no number. */
    private static final String URI = "BLOCKTAP_URI";

    private static final Pattern SOCKET = Pattern.compile("[?&]socket=([^&]*)");

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
            throw new FailedException("cannot start '" + command.get(0) + "': " + e.getMessage(), e);
        }
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

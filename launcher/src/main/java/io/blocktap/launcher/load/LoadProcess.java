package io.blocktap.launcher.load;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.DoubleConsumer;

/** Starts a driving process with the Java, the class path and the main switches of this one, and reads what it says. */
public final class LoadProcess {
    private LoadProcess() {}

    /** Hears how it goes. */
    public interface Listener {
        /** What is measured begins now. */
        void begin();

        /** It has ended now. */
        void end();

        /** So much is done, 0 to 1. */
        void progress(double fraction);
    }

    /** Hears of progress only. */
    public static Listener onProgress(DoubleConsumer progress) {
        return new Listener() {
            @Override
            public void begin() {
                // nothing is measured beside
            }

            @Override
            public void end() {
                // nothing is measured beside
            }

            @Override
            public void progress(double fraction) {
                progress.accept(fraction);
            }
        };
    }

    /**
     * Drives a server, and waits for the end.
     *
     * @param mainClass of this program
     * @param uri where to connect
     * @throws IOException if it can not be started, or ended with a failure; it has said itself what failed, on the standard error
     */
    public static List<OpResult> drive(String mainClass, String uri, LoadSpec spec, Listener listener)
            throws IOException {
        List<String> command = new ArrayList<>();
        command.add(ProcessHandle.current().info().command().orElse("java"));
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(LoadProcess::isPassedOn)
                .forEach(command::add);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), mainClass, "drive", "--uri=" + uri));
        command.addAll(spec.toArguments());
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        Thread killer = new Thread(process::destroyForcibly, "blocktap-end-driver");
        Runtime.getRuntime().addShutdownHook(killer);
        try {
            process.getOutputStream().close();
            List<OpResult> results = read(process, listener);
            int code = process.waitFor();
            if (code != 0) {
                throw new IOException("the driving process failed with exit code " + code + ", see above");
            }
            return results;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        } finally {
            process.destroyForcibly();
            Runtime.getRuntime().removeShutdownHook(killer);
        }
    }

    /** Memory, collector and access switches; no agents and no ports, which two processes can not share. */
    private static boolean isPassedOn(String argument) {
        return argument.startsWith("-XX:")
                || argument.startsWith("-Xm")
                || argument.startsWith("-Xshare")
                || argument.startsWith("--enable-native-access")
                || argument.startsWith("-Dguice")
                || argument.startsWith("-Dio.netty");
    }

    private static List<OpResult> read(Process process, Listener listener) throws IOException {
        List<OpResult> results = new ArrayList<>();
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            String line;
            while ((line = lines.readLine()) != null) {
                String[] words = line.split(" ", 2);
                switch (words[0]) {
                    case "begin" -> listener.begin();
                    case "end" -> listener.end();
                    case "progress" -> listener.progress(Double.parseDouble(words[1]));
                    case "result" -> results.add(OpResult.parse(words[1]));
                    default -> throw new IOException("the driving process says '" + line + "'");
                }
            }
        }
        return results;
    }
}

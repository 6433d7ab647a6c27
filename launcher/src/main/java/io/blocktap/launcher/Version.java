package io.blocktap.launcher;

import io.blocktap.launcher.server.EventLoopKind;
import io.blocktap.launcher.server.EventLoops;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import picocli.CommandLine.IVersionProvider;

/** What {@code --version} prints: one fact a line. */
final class Version implements IVersionProvider {
    private static final String UNKNOWN = "unknown";

    @Override
    public String[] getVersion() {
        List<String> lines = new ArrayList<>();
        lines.add("blocktap " + number());
        for (EventLoopKind kind : List.of(EventLoopKind.EPOLL, EventLoopKind.IO_URING)) {
            String missing = EventLoops.missing(kind);
            lines.add(kind.word() + ": " + (missing == null ? "yes" : "no (" + missing + ")"));
        }
        lines.add("java: " + System.getProperty("java.version") + " (" + System.getProperty("java.vendor") + ")");
        lines.add("kernel: " + System.getProperty("os.name") + " " + System.getProperty("os.version") + " "
                + System.getProperty("os.arch"));
        return lines.toArray(String[]::new);
    }

    /** Returns the version and, if it is known, the commit it was built from: {@code 0.1.0 (1a2b3c4d5e6f)}. */
    static String number() {
        Properties build = new Properties();
        try (InputStream file = Version.class.getResourceAsStream("build.properties")) {
            if (file != null) {
                build.load(file);
            }
        } catch (IOException e) {
            return "(its version can not be read: " + e.getMessage() + ")";
        }
        String commit = build.getProperty("commit", UNKNOWN);
        return build.getProperty("version", UNKNOWN) + (commit.equals(UNKNOWN) ? "" : " (" + commit + ")");
    }
}

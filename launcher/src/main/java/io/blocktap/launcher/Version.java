package io.blocktap.launcher;

import io.blocktap.launcher.server.EventLoopKind;
import io.blocktap.launcher.server.EventLoops;
import java.util.ArrayList;
import java.util.List;
import picocli.CommandLine.IVersionProvider;

/** What {@code --version} prints: one fact a line. */
final class Version implements IVersionProvider {
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

    static String number() {
        String packaged = Version.class.getPackage().getImplementationVersion();
        return packaged == null ? "(not packaged)" : packaged;
    }
}

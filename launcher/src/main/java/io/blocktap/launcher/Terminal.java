package io.blocktap.launcher;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Whether somebody is watching. */
final class Terminal {
    private static final int STDOUT = 1;
    private static final int STDERR = 2;

    private Terminal() {}

    /** Returns whether the standard error, where progress is shown, is a terminal. */
    static boolean showsProgress() {
        return isTerminal(STDERR) && !"dumb".equals(System.getenv("TERM"));
    }

    /** Returns whether help may use colours: a terminal, and no NO_COLOR. */
    static boolean colours() {
        String no = System.getenv("NO_COLOR");
        return isTerminal(STDOUT) && (no == null || no.isEmpty()) && !"dumb".equals(System.getenv("TERM"));
    }

    /** Returns how wide help is printed. */
    static int width() {
        return 100;
    }

    /** Java's console() tells of input and output together, and differently from release to release. */
    private static boolean isTerminal(int fd) {
        try {
            String target =
                    Files.readSymbolicLink(Path.of("/proc/self/fd/" + fd)).toString();
            return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty") || target.equals("/dev/console");
        } catch (IOException e) {
            return false; // closed, or no /proc: nobody to show anything to
        }
    }
}

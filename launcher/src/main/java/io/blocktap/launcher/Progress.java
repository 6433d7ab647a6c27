package io.blocktap.launcher;

import java.io.PrintWriter;
import java.util.Locale;

/** A bar on the terminal; nothing if there is none. Any thread. */
final class Progress implements AutoCloseable {
    private static final int WIDTH = 40;

    private final PrintWriter err;
    private final String what;
    private final boolean shown;
    private boolean drawn;

    Progress(PrintWriter err, String what, boolean shown) {
        this.err = err;
        this.what = what;
        this.shown = shown;
    }

    /** Draws how much is done, 0 to 1. */
    synchronized void show(double fraction) {
        if (shown) {
            int done = (int) Math.round(fraction * WIDTH);
            err.print(String.format(
                    Locale.ROOT,
                    "\r%s [%s%s] %3.0f%%",
                    what,
                    "#".repeat(done),
                    "-".repeat(WIDTH - done),
                    fraction * 100));
            err.flush();
            drawn = true;
        }
    }

    /** Wipes the bar. */
    @Override
    public synchronized void close() {
        if (drawn) {
            err.print("\r" + " ".repeat(what.length() + WIDTH + 8) + "\r");
            err.flush();
            drawn = false;
        }
    }
}

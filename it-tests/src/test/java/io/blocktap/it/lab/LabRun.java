package io.blocktap.it.lab;

import java.lang.management.ManagementFactory;

/** What a lab program prints and asserts with: its output is the scenario's log. */
final class LabRun {
    private LabRun() {}

    /** What a program does. */
    @FunctionalInterface
    interface Steps {
        void run() throws Exception;
    }

    /** Runs the steps and ends the process: with exit code 0, or with 1 and the trace of what went wrong. */
    static void toTheEnd(Steps steps) {
        int code = 0;
        try {
            steps.run();
            say("all done");
        } catch (Throwable t) {
            t.printStackTrace(System.out);
            code = 1;
        }
        System.out.flush();
        System.exit(code);
    }

    /** Prints a line, with the seconds since the program began. */
    static void say(String format, Object... values) {
        System.out.printf(
                "%-6.1f %s%n",
                ManagementFactory.getRuntimeMXBean().getUptime() / 1000.0, String.format(format, values));
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void same(long actual, long expected) {
        check(actual == expected, actual + ", not " + expected);
    }

    static void same(long actual, long expected, String what) {
        check(actual == expected, what + ": " + actual + ", not " + expected);
    }
}

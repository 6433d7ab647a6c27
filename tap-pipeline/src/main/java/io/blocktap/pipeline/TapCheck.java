package io.blocktap.pipeline;

/**
 * Something that a tap needs of the machine, and whether it is there.
 *
 * @param what a few words: {@code /dev/xen/evtchn}
 * @param problem what is wrong and the one thing to do, in one line; empty if all is well
 */
public record TapCheck(String what, String problem) {
    /** Something that is there. */
    public static TapCheck good(String what) {
        return new TapCheck(what, "");
    }

    /** Something that is not. */
    public static TapCheck bad(String what, String problem) {
        if (problem.isEmpty()) {
            throw new IllegalArgumentException(what + ": a problem must be told");
        }
        return new TapCheck(what, problem);
    }

    /** Returns whether all is well. */
    public boolean isGood() {
        return problem.isEmpty();
    }
}

package io.blocktap.pipeline.qcow2;

/** Host clusters without users. Under the monitor of the {@link ImageMap}, or of who has taken it over. */
final class Freed {
    /** Those that have lost their last one: their storage is given back. */
    final ExtentList dropped = new ExtentList();
    /** Those that had none: their storage stays as it is, which somebody may have reserved. */
    final ExtentList found = new ExtentList();

    boolean isEmpty() {
        return dropped.isEmpty() && found.isEmpty();
    }
}

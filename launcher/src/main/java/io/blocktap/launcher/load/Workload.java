package io.blocktap.launcher.load;

/** What is asked for, in what order. Confined to the event loop of its client. */
interface Workload {
    /**
     * Describes the next request, and fills its data if it is a write.
     *
     * @return false if none is to be sent until those in flight have ended
     */
    boolean next(Slot slot);

    /** Looks at a request that has ended well. */
    void check(Slot slot);

    /** Called when {@link #next} has returned false and nothing is in flight; returns whether it goes on. */
    boolean goOn();
}

package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import org.jspecify.annotations.Nullable;

/** Operations that wait for the same thing, linked through themselves. Under the monitor of the {@link ImageMap}, but for {@link #wake}. */
final class Waiters {
    private @Nullable Operation newest;

    void add(Operation operation) {
        operation.nextWaiter = newest;
        newest = operation;
    }

    /** Takes all out, to be woken outside of the monitor. */
    @Nullable
    Operation takeAll() {
        Operation all = newest;
        newest = null;
        return all;
    }

    /** Has each go on, oldest first. Any thread. */
    static void wake(@Nullable Operation newestFirst, BlockStatus status) {
        Operation oldestFirst = null;
        Operation current = newestFirst;
        while (current != null) {
            Operation following = current.nextWaiter;
            current.nextWaiter = oldestFirst;
            oldestFirst = current;
            current = following;
        }
        while (oldestFirst != null) {
            Operation following = oldestFirst.nextWaiter;
            oldestFirst.nextWaiter = null;
            oldestFirst.wake(status);
            oldestFirst = following;
        }
    }
}

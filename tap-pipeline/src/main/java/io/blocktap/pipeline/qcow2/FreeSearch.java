package io.blocktap.pipeline.qcow2;

import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Finds the host clusters that had no user when the image was opened, block of refcounts by block, from the start to where the file ended then. What it finds first is held back until it is known
 * that {@linkplain CountCheck all users are counted}: a cluster that is called free by mistake would be overwritten.
 *
 * <p>What is dropped where it has not looked yet is not handed out: it will be found.
 *
 * <p>Threads: those of checkpoints, one at a time; may wait.
 */
final class FreeSearch {
    private final Refcounts refcounts;
    private final ImageMap map;
    private final long endCluster;
    private final Supplier<CountCheck> newCheck;
    private @Nullable CountCheck check;
    private ExtentList held = new ExtentList();
    private boolean isChecked;
    private long nextBlock;
    private volatile boolean hasEnded;

    FreeSearch(Refcounts refcounts, ImageMap map, long endCluster, Supplier<CountCheck> newCheck) {
        this.refcounts = refcounts;
        this.map = map;
        this.endCluster = endCluster;
        this.newCheck = newCheck;
        this.hasEnded = endCluster == 0;
    }

    /** Returns whether there is more to look at, and few clusters are known. Any thread. */
    boolean hasMore() {
        return !hasEnded && !map.hasFreeEnough();
    }

    /** Looks at one block, or one table. Returns whether there are more. */
    boolean goOn() {
        if (!hasMore()) {
            return false;
        }
        try {
            if (held.isEmpty()) {
                refcounts.findFree(nextBlock, endCluster, held);
                nextBlock++;
            } else {
                checkOn();
            }
        } catch (ImageException e) {
            check = null;
            held = new ExtentList();
            hasEnded = true;
            return false;
        }
        if (isChecked) {
            map.found(held);
            held = new ExtentList();
        }
        hasEnded = held.isEmpty() && nextBlock > refcounts.blockOf(endCluster - 1);
        return !hasEnded;
    }

    private void checkOn() throws ImageException {
        CountCheck checking = check == null ? newCheck.get() : check;
        isChecked = !checking.goOn();
        check = isChecked ? null : checking;
    }

    /** Returns those of some clusters that were just freed which will not be found. */
    ExtentList reached(ExtentList freed) {
        if (hasEnded) {
            return freed;
        }
        ExtentList reached = new ExtentList();
        for (int i = 0; i < freed.size(); i++) {
            for (long cluster = freed.first(i); cluster < freed.first(i) + freed.length(i); cluster++) {
                if (refcounts.blockOf(cluster) < nextBlock || cluster >= endCluster) {
                    reached.add(cluster, 1);
                }
            }
        }
        return reached;
    }
}

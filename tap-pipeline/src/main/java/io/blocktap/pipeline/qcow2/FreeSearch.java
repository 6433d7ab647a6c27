package io.blocktap.pipeline.qcow2;

/**
 * Finds the host clusters that had no user when the image was opened, block of refcounts by block, from the start to where the file ended then.
 *
 * <p>What is dropped where it has not looked yet is not handed out: it will be found.
 *
 * <p>Threads: those of checkpoints, one at a time; may wait.
 */
final class FreeSearch {
    private final Refcounts refcounts;
    private final ImageMap map;
    private final long endCluster;
    private long nextBlock;
    private volatile boolean hasEnded;

    FreeSearch(Refcounts refcounts, ImageMap map, long endCluster) {
        this.refcounts = refcounts;
        this.map = map;
        this.endCluster = endCluster;
        this.hasEnded = endCluster == 0;
    }

    /** Returns whether there is more to look at, and few clusters are known. Any thread. */
    boolean hasMore() {
        return !hasEnded && !map.hasFreeEnough();
    }

    /** Looks at one block. Returns whether there are more. */
    boolean goOn() {
        if (!hasMore()) {
            return false;
        }
        ExtentList found = new ExtentList();
        try {
            refcounts.findFree(nextBlock, endCluster, found);
        } catch (ImageException e) {
            hasEnded = true;
            return false;
        }
        map.freed(found); // one of them may just have been dropped, with a transfer still under way
        nextBlock++;
        hasEnded = nextBlock > refcounts.blockOf(endCluster - 1);
        return !hasEnded;
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

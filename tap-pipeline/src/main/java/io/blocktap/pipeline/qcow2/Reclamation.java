package io.blocktap.pipeline.qcow2;

import org.jspecify.annotations.Nullable;

/**
 * What becomes of host clusters that have no user any more: they wait until no transfer can be under way that looked them up before, the storage of those that were dropped is given back, and they can be had again.
 *
 * <p>Threads: {@link #enter} and {@link #leave} any; the rest under the monitor of the {@link ImageMap}.
 */
final class Reclamation {
    private final IoEpochs epochs;
    private final MapWorker worker;
    private final Waiters waiters = new Waiters();
    private Freed unmapped = new Freed();
    private @Nullable Freed emptying;
    private int emptyingSlot;
    private int handedOver;
    private boolean isMoreExpected;

    /** @param emptied has {@link #goOn} called */
    Reclamation(MapWorker worker, Runnable emptied) {
        this.epochs = new IoEpochs(emptied);
        this.worker = worker;
    }

    /** A transfer is about to look up where its data are. Returns what {@link #leave} wants to have. */
    int enter() {
        return epochs.enter();
    }

    /** A transfer has ended. Returns whether {@link #goOn} is to be called. */
    boolean leave(int slot) {
        return epochs.leave(slot);
    }

    /** Says whether a checkpoint is being made that frees clusters if it succeeds. */
    void expect(boolean isExpected) {
        isMoreExpected = isExpected;
    }

    /** Takes clusters that have no user, and no place in the map any more. */
    void addDropped(ExtentList dropped) {
        unmapped.dropped.addAll(dropped);
        goOn();
    }

    /** Takes clusters that had no user. One of them may just have been dropped all the same, with a transfer still under way. */
    void addFound(ExtentList found) {
        unmapped.found.addAll(found);
        goOn();
    }

    /** Hands over what no transfer can use any more, and begins with what has come since. */
    void goOn() {
        while (true) {
            if (emptying != null) {
                if (!epochs.isEmpty(emptyingSlot)) {
                    return; // whoever leaves last calls again
                }
                handedOver++;
                worker.reclaim(emptying);
                emptying = null;
            }
            if (unmapped.isEmpty()) {
                return;
            }
            emptying = unmapped;
            unmapped = new Freed();
            emptyingSlot = epochs.turn();
        }
    }

    /** What was handed over can be had again. Returns who has waited for it. */
    @Nullable
    Operation ended() {
        handedOver--;
        return waiters.takeAll();
    }

    /** Has the operation woken when there are clusters again, unless none are on their way. Returns whether some are. */
    boolean await(Operation operation) {
        if (isIdle()) {
            return false;
        }
        waiters.add(operation);
        return true;
    }

    private boolean isIdle() {
        return !isMoreExpected && handedOver == 0 && emptying == null && unmapped.isEmpty();
    }

    /** Returns who waits, if nothing is on its way any more. */
    @Nullable
    Operation takeWaitersIfIdle() {
        return isIdle() ? waiters.takeAll() : null;
    }

    @Nullable
    Operation takeWaiters() {
        return waiters.takeAll();
    }
}

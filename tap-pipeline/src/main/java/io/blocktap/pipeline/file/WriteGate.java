package io.blocktap.pipeline.file;

import io.blocktap.pipeline.BlockRequest;
import java.util.ArrayDeque;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * Keeps writes through the page cache away from writes past it.
 *
 * <p>A write of a part of a sector reads, changes and writes a whole page of the cache. A write past the cache to another part of that page, at the same time, can be undone by it: the kernel promises nothing for
 * such a mixture ({@code open(2)}, O_DIRECT: "applications should avoid mixing O_DIRECT and normal I/O to the same file, and especially to overlapping byte regions in the same file").
 * So a write of whole sectors shares the file with others of its kind, and one of parts of sectors has all writes wait.
 *
 * <p>Nobody waits in it: requests that can't go on are kept, and started by whoever leaves. Any thread. Without partial sectors it costs one atomic operation for entering and one for leaving.
 */
final class WriteGate {
    /** Starts requests that were kept. Called on the thread of whoever left; must not wait. */
    interface Starter {
        /** Starts a write of whole sectors, which has entered. */
        void startShared(BlockRequest request);

        /** Starts a write of parts of sectors, which has the file to itself. */
        void startAlone(BlockRequest request);
    }

    private record Kept(BlockRequest request, boolean wantsAlone) {}

    /** Somebody is alone, or waits to be; the other bits count those who share. */
    private static final int CLOSED = 1 << 30;

    private final Starter starter;
    private final AtomicInteger state = new AtomicInteger();
    private final ArrayDeque<Kept> waiting = new ArrayDeque<>();
    private boolean isAlone;

    WriteGate(Starter starter) {
        this.starter = starter;
    }

    /** Enters at once, or keeps the request for later. Returns whether it may be started now. */
    boolean enterShared(BlockRequest request) {
        int seen = state.get();
        while (seen < CLOSED) {
            if (state.compareAndSet(seen, seen + 1)) {
                return true;
            }
            seen = state.get();
        }
        synchronized (this) {
            if (state.get() >= CLOSED) {
                waiting.add(new Kept(request, false));
                return false;
            }
            // Nobody closes without this monitor.
            state.incrementAndGet();
            return true;
        }
    }

    void leaveShared() {
        if (state.decrementAndGet() == CLOSED) {
            startKept();
        }
    }

    /** Has the request started by {@link Starter#startAlone} as soon as all others have left: perhaps before this returns. */
    void enterAlone(BlockRequest request) {
        synchronized (this) {
            waiting.add(new Kept(request, true));
            if (state.get() < CLOSED) {
                state.addAndGet(CLOSED);
            }
        }
        startKept();
    }

    void leaveAlone() {
        synchronized (this) {
            isAlone = false;
        }
        startKept();
    }

    private void startKept() {
        Kept kept = next();
        while (kept != null) {
            if (kept.wantsAlone) {
                starter.startAlone(kept.request);
                return;
            }
            starter.startShared(kept.request);
            kept = next();
        }
    }

    /** Takes the next in order that may start now. Opens the gate when none is left. */
    private synchronized @Nullable Kept next() {
        Kept first = waiting.peek();
        if (isAlone || first != null && first.wantsAlone && state.get() != CLOSED) {
            return null;
        }
        if (first == null) {
            if (state.get() >= CLOSED) {
                state.addAndGet(-CLOSED);
            }
            return null;
        }
        waiting.remove();
        if (first.wantsAlone) {
            isAlone = true;
        } else {
            state.incrementAndGet();
        }
        return first;
    }
}

package io.blocktap.transport.memory;

import java.util.ArrayDeque;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A bound on the bytes of request data that are in flight, shared by all who take from it.
 *
 * <p>Who cannot get what it needs stops consuming (that is the back pressure) and gets in line. The line is first come, first
 * served: what is given back is put aside for the first in it until that one has what it needs, then for the next. So a large
 * request is not starved by small ones, which find nothing to take meanwhile; and for the same reason a small one waits behind a
 * large one that came before it.
 *
 * <p>As long as nobody waits, taking and giving back is one atomic addition each: no lock, no object. Any thread.
 */
public final class MemoryBudget {
    private final long limitBytes;
    /** Taken or put aside. */
    private final AtomicLong usedBytes = new AtomicLong();

    private final ArrayDeque<Waiter> line = new ArrayDeque<>(); // guarded by itself
    /** Written with the line held, and true before the bytes in use are looked at: so whoever gives back sees one of the two. */
    private volatile boolean waitedFor;

    /** Makes a budget with the given limit. */
    public MemoryBudget(long limitBytes) {
        if (limitBytes <= 0) {
            throw new IllegalArgumentException("limit of " + limitBytes + " bytes; it must be positive");
        }
        this.limitBytes = limitBytes;
    }

    /** Returns the limit. */
    public long limitBytes() {
        return limitBytes;
    }

    /** Returns the bytes that nobody else can have now: taken, or put aside for the first in line. */
    public long usedBytes() {
        return usedBytes.get();
    }

    /** Returns whether somebody is in line. Who can wait gets in line as well then, instead of taking what the others wait for. */
    public boolean isWaitedFor() {
        return waitedFor;
    }

    /**
     * Takes bytes if they are to be had. A single request larger than the whole limit is let through when nothing else
     * is in flight, so that it can not wait for ever.
     *
     * @return whether they were taken
     */
    public boolean tryTake(long bytes) {
        long used;
        do {
            used = usedBytes.get();
            if (used != 0 && bytes > limitBytes - used) {
                return false;
            }
        } while (!usedBytes.compareAndSet(used, used + bytes));
        return true;
    }

    /** Gives bytes back; they go to those who wait. */
    public void giveBack(long bytes) {
        usedBytes.addAndGet(-bytes);
        if (waitedFor) {
            serve();
        }
    }

    /**
     * Makes a place in line, for one who waits for one thing at a time; keep it, then waiting makes no garbage.
     *
     * @param ready runs on whichever thread gives back, when the bytes were put aside; it must only hand over to its own thread
     */
    public Waiter newWaiter(Runnable ready) {
        return new Waiter(ready);
    }

    private void serve() {
        Waiter served;
        while ((served = nextServed()) != null) {
            served.ready.run();
        }
    }

    private @Nullable Waiter nextServed() {
        synchronized (line) {
            Waiter first = line.peek();
            if (first == null || !first.isFilled()) {
                waitedFor = first != null;
                return null;
            }
            line.remove();
            waitedFor = !line.isEmpty();
            return first;
        }
    }

    /** A place in line. Its methods are for one thread, the waiter's own. */
    public final class Waiter {
        private final Runnable ready;
        // Guarded by the line.
        private long wantedBytes;
        private long asideBytes;

        private Waiter(Runnable ready) {
            this.ready = ready;
        }

        /** Gets in line, at its end. To be called again only after the call, or after {@link #leave}. */
        public void await(long bytes) {
            synchronized (line) {
                wantedBytes = Math.min(bytes, limitBytes); // more than that is let through when nothing is in use
                line.add(this);
                waitedFor = true;
            }
            serve();
        }

        /** After the call: lets go of what was put aside, to {@link MemoryBudget#tryTake take} it in the next statement. */
        public void letGo() {
            long bytes;
            synchronized (line) {
                bytes = empty();
            }
            usedBytes.addAndGet(-bytes);
        }

        /** Wants nothing any more, whether in line, called already or neither: what was put aside goes to the others. */
        public void leave() {
            long bytes;
            synchronized (line) {
                line.remove(this);
                bytes = empty();
            }
            giveBack(bytes);
        }

        private long empty() {
            long bytes = asideBytes;
            asideBytes = 0;
            return bytes;
        }

        /** Puts aside what there is, and returns whether that is enough. */
        private boolean isFilled() {
            while (asideBytes < wantedBytes) {
                long used = usedBytes.get();
                long more = Math.min(wantedBytes - asideBytes, limitBytes - used);
                if (more <= 0) {
                    return false;
                }
                if (usedBytes.compareAndSet(used, used + more)) {
                    asideBytes += more;
                }
            }
            return true;
        }
    }
}

package io.blocktap.transport.memory;

import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Page-aligned buffers for request data, in powers of two from 4 KiB, taken from slabs that are kept.
 *
 * <p>In steady state neither taking nor releasing a buffer allocates an object or makes a system call. What is in use counts against a
 * {@link MemoryBudget}; what lies free is kept up to {@code keepFreeBytes}. Buffers are not cleared: whoever shows one to a peer
 * fills it first.
 *
 * <p>Threads: confined to one thread (an event loop); buffers must be released on it, too.
 */
public final class SlabAllocator implements AutoCloseable {
    /** Largest buffer that is handed out. */
    public static final int MAX_BUFFER_BYTES = 64 << 20;

    private static final int SLAB_BYTES = 1 << 20;
    private static final int MIN_SHIFT = 12;
    private static final int CLASSES = Integer.numberOfTrailingZeros(MAX_BUFFER_BYTES) - MIN_SHIFT + 1;

    private final MemoryBudget budget;
    private final long keepFreeBytes;
    private final FreeStack[] free = new FreeStack[CLASSES];
    private final List<MappedRegion> slabs = new ArrayList<>();
    private long freeLargeBytes;
    private int inUse;
    private boolean closed;

    /**
     * Makes an allocator.
     *
     * @param budget bounds what is in use, shared with other allocators
     * @param keepFreeBytes how much of released buffers larger than 1 MiB is kept for the next request
     */
    public SlabAllocator(MemoryBudget budget, long keepFreeBytes) {
        this.budget = budget;
        this.keepFreeBytes = keepFreeBytes;
        for (int i = 0; i < CLASSES; i++) {
            free[i] = new FreeStack();
        }
    }

    /** Returns the budget that bounds what is in use. */
    public MemoryBudget budget() {
        return budget;
    }

    /** Returns how many buffers are out. */
    public int buffersInUse() {
        return inUse;
    }

    /**
     * Takes a buffer of at least the given size; its capacity is exactly that size.
     *
     * @param lengthBytes 1 to {@link #MAX_BUFFER_BYTES}
     * @return a buffer with one reference, indexes 0; or null when the budget has nothing left (a {@link BudgetTurn} waits)
     * @throws OutOfMemoryError if the machine has no memory
     * @throws IllegalStateException after {@link #close}
     */
    public @Nullable RegionBuf tryAllocate(int lengthBytes) {
        if (lengthBytes <= 0 || lengthBytes > MAX_BUFFER_BYTES) {
            throw new IllegalArgumentException(lengthBytes + " bytes; 1 to " + MAX_BUFFER_BYTES);
        }
        if (closed) {
            throw new IllegalStateException("the slabs are closed");
        }
        int sizeClass = sizeClass(lengthBytes);
        int classBytes = charge(lengthBytes);
        if (!budget.tryTake(classBytes)) {
            return null;
        }
        FreeStack stack = free[sizeClass];
        if (stack.size == 0) {
            refill(sizeClass, classBytes);
        } else if (classBytes > SLAB_BYTES) {
            freeLargeBytes -= classBytes;
        }
        SlabBuf buffer = stack.pop();
        inUse++;
        buffer.use(lengthBytes);
        return buffer;
    }

    /** Returns how many bytes of the budget a buffer of the given length takes. */
    static int charge(int lengthBytes) {
        return 1 << (sizeClass(lengthBytes) + MIN_SHIFT);
    }

    private static int sizeClass(int lengthBytes) {
        int pages = (lengthBytes + Libc.PAGE_BYTES - 1) >>> MIN_SHIFT;
        return 32 - Integer.numberOfLeadingZeros(pages - 1);
    }

    private void refill(int sizeClass, int classBytes) {
        MappedRegion slab;
        try {
            slab = MappedRegion.anonymous(Math.max(SLAB_BYTES, classBytes));
        } catch (NativeException e) {
            budget.giveBack(classBytes);
            throw (OutOfMemoryError) new OutOfMemoryError("no memory for request data").initCause(e);
        }
        if (classBytes <= SLAB_BYTES) {
            slabs.add(slab);
        }
        for (int offset = slab.sizeBytes() - classBytes; offset >= 0; offset -= classBytes) {
            free[sizeClass].push(new SlabBuf(slab, offset, sizeClass));
        }
    }

    private void takeBack(SlabBuf buffer) {
        int classBytes = 1 << (buffer.sizeClass + MIN_SHIFT);
        inUse--;
        if (classBytes > SLAB_BYTES && (closed || freeLargeBytes + classBytes > keepFreeBytes)) {
            buffer.pointNowhere();
            buffer.slab.release();
        } else {
            if (classBytes > SLAB_BYTES) {
                freeLargeBytes += classBytes;
            }
            free[buffer.sizeClass].push(buffer);
        }
        budget.giveBack(classBytes);
        if (closed && inUse == 0) {
            releaseSlabs();
        }
    }

    /** Unmaps everything, now or, if buffers are still out, when the last of them comes back. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        for (int i = sizeClass(SLAB_BYTES) + 1; i < CLASSES; i++) {
            while (free[i].size > 0) {
                free[i].pop().slab.release();
            }
        }
        if (inUse == 0) {
            releaseSlabs();
        }
    }

    private void releaseSlabs() {
        slabs.forEach(MappedRegion::release);
        slabs.clear();
    }

    /** A buffer with a fixed place in a slab. */
    private final class SlabBuf extends RegionBuf {
        final MappedRegion slab;
        final int offset;
        final int sizeClass;

        SlabBuf(MappedRegion slab, int offset, int sizeClass) {
            this.slab = slab;
            this.offset = offset;
            this.sizeClass = sizeClass;
        }

        void use(int lengthBytes) {
            revive();
            pointTo(slab, offset, lengthBytes);
        }

        @Override
        protected void onRelease() {
            takeBack(this);
        }
    }

    /** A growing stack of free buffers of one size. */
    private static final class FreeStack {
        SlabBuf[] items = new SlabBuf[16];
        int size;

        void push(SlabBuf buffer) {
            if (size == items.length) {
                items = java.util.Arrays.copyOf(items, size * 2);
            }
            items[size++] = buffer;
        }

        @SuppressWarnings("NullAway") // slots below size are filled
        SlabBuf pop() {
            SlabBuf buffer = items[--size];
            items[size] = null;
            return buffer;
        }
    }
}

package io.blocktap.pipeline.qcow2;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.util.BitSet;

/**
 * One L2 table in memory.
 *
 * <p>Threads: entries are read on any; everything else, and all changes, under the monitor of the {@link ImageMap}.
 */
final class L2Table {
    private static final VarHandle ENTRIES = MethodHandles.arrayElementVarHandle(long[].class);

    final int l1Index;
    /** Where it lies in the file. */
    long hostOffset;
    /** Pages that were changed since the last checkpoint began. */
    final BitSet dirtyPages = new BitSet();
    /** Changes that are on their way to it. */
    int pins;
    /** Not to be changed: it would be written as it was not read. */
    boolean hasBadEntries;
    /** Looked up since the last search for a table to drop. */
    volatile boolean isInUse = true;

    private final long[] entries;

    L2Table(int l1Index, long hostOffset, long[] entries) {
        this.l1Index = l1Index;
        this.hostOffset = hostOffset;
        this.entries = entries;
    }

    long get(int index) {
        return (long) ENTRIES.getAcquire(entries, index);
    }

    void set(int index, long entry) {
        ENTRIES.setRelease(entries, index, entry);
    }

    /** Copies entries, in the file's order of bytes; moves the buffer's position. */
    void copyTo(ByteBuffer into, int first, int count) {
        into.asLongBuffer().put(entries, first, count);
        into.position(into.position() + count * Long.BYTES);
    }

    int length() {
        return entries.length;
    }
}

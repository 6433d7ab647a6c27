package io.blocktap.interposer.dump;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * A bounded queue of records made of 64-bit words, in one array that is allocated once. Many threads put records in, one takes them
 * out; nobody waits and nothing is allocated.
 *
 * <p>A producer {@linkplain #claim claims} words, {@linkplain #put fills} all but the first, and {@linkplain #publish publishes} the first, which holds the
 * record's length in its low 16 bits. The consumer takes a record when its first word is there, and zeroes its words before
 * it frees them; so a first word that is zero is one that is not there yet.
 */
final class RecordRing {
    /** Most words in a record. */
    static final int MAX_WORDS = 0xffff;

    private static final VarHandle WORD = MethodHandles.arrayElementVarHandle(long[].class);
    private static final VarHandle TAIL;
    private static final VarHandle HEAD;
    private static final VarHandle DROPPED;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            TAIL = lookup.findVarHandle(RecordRing.class, "tail", long.class);
            HEAD = lookup.findVarHandle(RecordRing.class, "head", long.class);
            DROPPED = lookup.findVarHandle(RecordRing.class, "dropped", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final long[] words;
    private final int mask;

    private volatile long tail;
    private volatile long head;
    private volatile long dropped;

    /**
     * Makes a ring.
     *
     * @param capacityWords a power of two
     */
    RecordRing(int capacityWords) {
        if (capacityWords <= 0 || Integer.bitCount(capacityWords) != 1) {
            throw new IllegalArgumentException("capacity " + capacityWords + "; it must be a power of two");
        }
        words = new long[capacityWords];
        mask = capacityWords - 1;
    }

    // ---- producers, any thread

    /**
     * Reserves room for a record.
     *
     * @param count words in it, 1 to {@link #MAX_WORDS}
     * @return where it starts; or -1 if the ring is full, which is counted
     */
    long claim(int count) {
        long start;
        do {
            start = tail;
            if (start + count - head > words.length) {
                drop();
                return -1;
            }
        } while (!TAIL.compareAndSet(this, start, start + count));
        return start;
    }

    /** Counts a record that is not shown. */
    void drop() {
        DROPPED.getAndAdd(this, 1L);
    }

    /** Fills a word of a claimed record. */
    void put(long position, long value) {
        words[(int) position & mask] = value;
    }

    /** Shows a claimed record to the consumer. The low 16 bits of its first word are its length. */
    void publish(long start, long firstWord) {
        WORD.setRelease(words, (int) start & mask, firstWord);
    }

    /** Returns whether more than half of the room is taken. */
    boolean isHalfFull() {
        return tail - head > words.length >>> 1;
    }

    // ---- the consumer

    /** Returns the first word of the next record; 0 if there is none yet. */
    long peek() {
        return (long) WORD.getAcquire(words, (int) head & mask);
    }

    /** Returns a word of the next record. */
    long get(int index) {
        return words[(int) (head + index) & mask];
    }

    /** Gives the next record's words back. */
    void remove(int count) {
        long first = head;
        for (int i = 0; i < count; i++) {
            words[(int) (first + i) & mask] = 0;
        }
        HEAD.setRelease(this, first + count);
    }

    /** Returns how many records were not shown since the ring was made. */
    long dropped() {
        return dropped;
    }
}

package io.blocktap.transport.ring;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * What a backend has taken off a ring and not answered, in memory that outlives its process: a mapped file. Responses overwrite the slots of the ring, so after a crash
 * the ring alone does not tell what was in flight.
 *
 * <pre>
 *  0     magic u64                    "BTAPRING"; written last
 *  8     version u32, layout u32      of {@link BlkifLayout}, its ordinal
 *  16    slots u32, domid u32         whose ring it is
 *  24    device u32, queue u32
 *  32    nonce u64                    the same number stands in the ring's padding: this table is of that very ring
 *  40    fenced u64                   1: a flush failed, writes are refused
 *  64    taken u64                    requests taken so far; its low 32 bits are the ring's consumer index
 *  72    published u64                responses shown so far; its low 32 bits are rsp_prod
 *  4096  one entry a slot, 128 bytes: request index u64 | response index u64, or -1 | copy of the slot, 112 bytes
 * </pre>
 *
 * <p>All counters have 64 bits, so that entries which are not used for long never look new. An entry is in flight when its request index is before {@code taken}, and
 * its response index is not before {@code published}. So one store moves a request in, and one store moves all responses of a turn out:
 *
 * <ul>
 *   <li>taking: request index, copy, response index -1, then {@code taken + 1}. Before the last store the request still stands in the ring, and is taken from there.
 *   <li>answering: the response index; then the response is put into the ring, where the frontend does not look yet.
 *   <li>publishing: {@code published}, then the ring's {@code rsp_prod}. After a crash between the two the response is published again, not the request done again.
 * </ul>
 *
 * <p>Nothing that the frontend can write is needed to know what was in flight. The file is trusted as far as its directory is; what is inconsistent is refused. A
 * process that ends by a signal leaves its stores as far as it came in program order, on every machine; the fences are for the compiler.
 *
 * <p>Threads: the ring's own. Ownership: the memory stays the caller's, who keeps it mapped.
 */
public class InFlightTable {
    /** Whose table it is. */
    public record Owner(int domid, int device, int queue) {}

    private static final VarHandle LONG = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

    private static final long MAGIC = 0x474e495250415442L; // BTAPRING
    private static final int VERSION = 1;
    private static final int AT_MAGIC = 0;
    private static final int AT_VERSION = 8;
    private static final int AT_SLOTS = 16;
    private static final int AT_DEVICE = 24;
    private static final int AT_NONCE = 32;
    private static final int AT_FENCED = 40;
    private static final int AT_TAKEN = 64;
    private static final int AT_PUBLISHED = 72;
    private static final int FIRST_ENTRY = 4096;
    private static final int ENTRY_BYTES = 128;
    private static final int REQUEST_INDEX = 0;
    private static final int RESPONSE_INDEX = 8;
    private static final int SLOT = 16;
    private static final int SLOT_WORDS = (ENTRY_BYTES - SLOT) / 8;
    private static final long NO_RESPONSE = -1;

    private final ByteBuffer memory;
    private final int slots;
    private long taken;
    private long published;

    /** The entries that are free, a stack. */
    private final int[] free;

    private int freeCount;

    /** By response index: the entries that are answered and not published yet. */
    private final int[] answered;

    /** Entries in flight when the table was opened, by request index. */
    private int[] redo = {};

    private int redone;

    /** Use {@link #create} or {@link #open}. */
    InFlightTable(ByteBuffer memory, int slots) {
        this.memory = memory.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        this.slots = slots;
        this.free = new int[slots];
        this.answered = new int[slots];
    }

    /** Returns the size in bytes of the table of a ring. */
    public static int sizeBytes(int slots) {
        return FIRST_ENTRY + slots * ENTRY_BYTES;
    }

    /**
     * Makes the table of a ring of which nothing is in flight.
     *
     * @param memory a direct buffer of {@link #sizeBytes}, with any content
     * @param nonce a number that no other table has had, not 0
     * @param rspProd where the ring stands
     */
    public static InFlightTable create(
            ByteBuffer memory, Owner owner, BlkifLayout layout, int pages, long nonce, int rspProd) {
        InFlightTable table = new InFlightTable(memory, layout.slots(pages));
        table.reset(owner, layout, nonce, Integer.toUnsignedLong(rspProd));
        return table;
    }

    private void reset(Owner owner, BlkifLayout layout, long nonce, long start) {
        store(AT_MAGIC, 0);
        VarHandle.storeStoreFence();
        for (int entry = 0; entry < slots; entry++) {
            store(at(entry) + REQUEST_INDEX, Long.MAX_VALUE);
            store(at(entry) + RESPONSE_INDEX, NO_RESPONSE);
        }
        store(AT_VERSION, pair(VERSION, layout.ordinal()));
        store(AT_SLOTS, pair(slots, owner.domid()));
        store(AT_DEVICE, pair(owner.device(), owner.queue()));
        store(AT_NONCE, nonce);
        store(AT_FENCED, 0);
        store(AT_TAKEN, start);
        store(AT_PUBLISHED, start);
        VarHandle.storeStoreFence();
        store(AT_MAGIC, MAGIC);
        taken = start;
        published = start;
        for (int entry = slots - 1; entry >= 0; entry--) {
            free[freeCount++] = entry;
        }
    }

    private static long pair(int low, int high) {
        return Integer.toUnsignedLong(low) | (long) high << 32;
    }

    /**
     * Opens the table that an earlier process has left of a ring.
     *
     * @param memory a direct buffer of the whole table
     * @param nonce what stands in the ring, not 0
     * @throws RingProtocolException if it is not this ring's table, or contradicts itself; says why
     */
    public static InFlightTable open(ByteBuffer memory, Owner owner, BlkifLayout layout, int pages, long nonce) {
        int slots = layout.slots(pages);
        if (memory.capacity() != sizeBytes(slots)) {
            throw new RingProtocolException("the table of requests in flight has " + memory.capacity()
                    + " bytes; this ring's has " + sizeBytes(slots));
        }
        InFlightTable table = new InFlightTable(memory, slots);
        table.recoverAs(owner, layout, nonce);
        return table;
    }

    void recoverAs(Owner owner, BlkifLayout layout, long nonce) {
        check(AT_MAGIC, MAGIC, "magic number");
        check(AT_VERSION, pair(VERSION, layout.ordinal()), "version or layout");
        check(AT_SLOTS, pair(slots, owner.domid()), "number of slots or domain");
        check(AT_DEVICE, pair(owner.device(), owner.queue()), "device or queue");
        check(AT_NONCE, nonce, "nonce");
        recover();
    }

    private void check(int offset, long wanted, String what) {
        long found = memory.getLong(offset);
        if (found != wanted) {
            throw new RingProtocolException("the table of requests in flight is of another ring: its " + what + " is 0x"
                    + Long.toHexString(found) + ", not 0x" + Long.toHexString(wanted));
        }
    }

    private void recover() {
        taken = memory.getLong(AT_TAKEN);
        published = memory.getLong(AT_PUBLISHED);
        if (published < 0 || taken < published || taken - published > slots) {
            throw new RingProtocolException("the table of requests in flight contradicts itself: " + taken
                    + " requests taken, " + published + " answered, " + slots + " slots");
        }
        int[] found = new int[slots];
        int count = 0;
        for (int entry = slots - 1; entry >= 0; entry--) {
            if (isInFlight(entry)) {
                found[count++] = entry;
            } else {
                // A take that did not come to its end: its index is given to another entry soon.
                store(at(entry) + REQUEST_INDEX, Long.MAX_VALUE);
                free[freeCount++] = entry;
            }
        }
        sortByRequestIndex(found, count);
        boolean isTwice = false;
        for (int i = 1; i < count; i++) {
            isTwice |= requestIndex(found[i]) == requestIndex(found[i - 1]);
        }
        if (count != taken - published || isTwice) {
            throw new RingProtocolException("the table of requests in flight contradicts itself: it holds " + count
                    + " requests" + (isTwice ? ", one twice" : "") + ", and should hold " + (taken - published));
        }
        redo = Arrays.copyOf(found, count);
        for (int entry : redo) {
            // Answered and not published: that answer's index is given to another request soon.
            store(at(entry) + RESPONSE_INDEX, NO_RESPONSE);
        }
    }

    private boolean isInFlight(int entry) {
        long response = memory.getLong(at(entry) + RESPONSE_INDEX);
        long request = requestIndex(entry);
        return request >= 0 && request < taken && (response == NO_RESPONSE || response >= published);
    }

    private void sortByRequestIndex(int[] entries, int count) {
        for (int i = 1; i < count; i++) {
            int entry = entries[i];
            int j = i;
            for (; j > 0 && requestIndex(entries[j - 1]) > requestIndex(entry); j--) {
                entries[j] = entries[j - 1];
            }
            entries[j] = entry;
        }
    }

    private long requestIndex(int entry) {
        return memory.getLong(at(entry) + REQUEST_INDEX);
    }

    private static int at(int entry) {
        return FIRST_ENTRY + entry * ENTRY_BYTES;
    }

    /** Every store into the table goes through here: each is a place where a crash may come. Tests crash here. */
    void store(int offset, long value) {
        memory.putLong(offset, value);
    }

    /** As {@link #store}, after all stores before it. */
    void storeRelease(int offset, long value) {
        LONG.setRelease(memory, offset, value);
    }

    /** Returns how many requests were in flight when the table was opened. */
    public int redoCount() {
        return redo.length;
    }

    /** Returns the low 32 bits of how many requests were taken: the ring's consumer index. */
    int taken() {
        return (int) taken;
    }

    /** Returns the low 32 bits of how many responses are published: what {@code rsp_prod} has to be. */
    int published() {
        return (int) published;
    }

    /** Returns whether requests that were in flight are still to be done again. */
    boolean hasRedo() {
        return redone < redo.length;
    }

    /** Copies the next request that was in flight. */
    void redo(RingSlot slot) {
        int entry = redo[redone++];
        slot.loadFrom(memory, at(entry) + SLOT, entry);
    }

    /** Returns whether a request can be taken: always, unless the frontend produces more than the ring has slots. */
    boolean hasFree() {
        return freeCount > 0;
    }

    /** Notes that a request is taken. Only if {@link #hasFree}. */
    void take(RingSlot slot) {
        int entry = free[--freeCount];
        int at = at(entry);
        // In this order: with its old request index and no response the entry would look in flight.
        store(at + REQUEST_INDEX, taken);
        VarHandle.storeStoreFence();
        int words = Math.min(slot.wordCount(), SLOT_WORDS);
        for (int i = 0; i < words; i++) {
            store(at + SLOT + (i << 3), slot.word(i));
        }
        store(at + RESPONSE_INDEX, NO_RESPONSE);
        taken++;
        storeRelease(AT_TAKEN, taken);
        slot.setEntry(entry);
    }

    /**
     * Notes that a request gets a response; it counts as answered once that is published.
     *
     * @param ahead how many responses are put and not published yet
     */
    void answer(int entry, int ahead) {
        long response = published + ahead;
        store(at(entry) + RESPONSE_INDEX, response);
        answered[(int) response & slots - 1] = entry;
    }

    /**
     * Notes that responses are published; before the ring says so.
     *
     * @param count how many
     */
    void publish(int count) {
        long now = published + count;
        storeRelease(AT_PUBLISHED, now);
        for (long response = published; response < now; response++) {
            free[freeCount++] = answered[(int) response & slots - 1];
        }
        published = now;
        VarHandle.storeStoreFence();
    }

    /** Returns whether a flush has failed on this ring. */
    boolean isFenced() {
        return memory.getLong(AT_FENCED) != 0;
    }

    /** Notes that a flush has failed on this ring. */
    void fence() {
        storeRelease(AT_FENCED, 1);
    }

    /** Returns whether there is nothing that the next process must know. */
    public boolean isClean() {
        return taken == published && !isFenced();
    }
}

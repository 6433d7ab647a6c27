package io.blocktap.pipeline.codec.blkif;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.transport.ring.Blkif;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.FrontRing;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;

/**
 * A guest that puts random requests into a ring and knows what each answer has to be. As a real one does, it never has two requests at one place on their way if one of them
 * changes it, and uses pages for other things as soon as their request is answered. Threads: one.
 */
final class TableGuest {
    static final int DISK_SECTORS = 512;
    static final int DATA_PAGES = 256;
    private static final int MOST_INDIRECT = 40;

    /** A request. What a disk has done of it is in {@link TableDisk}. */
    record Asked(
            long id,
            int operation,
            int firstSector,
            int sectors,
            int[] segments,
            byte[] data,
            int status,
            Set<Long> acknowledged) {
        boolean writes() {
            return data.length > 0;
        }

        boolean isBarrier() {
            return operation == Blkif.BLKIF_OP_WRITE_BARRIER;
        }

        boolean overlaps(int from, int count) {
            return sectors > 0 && from < firstSector + sectors && firstSector < from + count;
        }
    }

    final Map<Long, Asked> waiting = new TreeMap<>();

    /** What the ring has shown as answered, whether the guest has looked or not. */
    final Set<Long> answered = new HashSet<>();

    /** What the disk must hold: every acknowledged change. */
    final byte[] disk = new byte[DISK_SECTORS * 512];

    int puts;
    private final Random random;
    private final BlkifLayout layout;
    private final int ringPages;
    private final FrontRing ring;
    private final ByteBuffer memory;
    private final TableDisk storage;
    private final ArrayDeque<Integer> freePages = new ArrayDeque<>();
    private final Set<Long> acknowledgedWrites = new HashSet<>();
    private int shownUpTo;
    private long nextId = 1;
    private int expected;
    private @Nullable IntPredicate accepted;

    TableGuest(Random random, BlkifLayout layout, int ringPages, ByteBuffer memory, TableDisk storage) {
        this.random = random;
        this.layout = layout;
        this.ringPages = ringPages;
        this.memory = memory;
        this.storage = storage;
        ring = new FrontRing(memory, layout, ringPages);
        shownUpTo = memory.getInt(BlkifLayout.RSP_PROD);
        for (int i = 0; i < DATA_PAGES; i++) {
            freePages.add(ringPages + i);
        }
    }

    // ---- asking

    void put(int count) {
        for (int i = 0; i < count && ring.free() > 0; i++) {
            switch (random.nextInt(12)) {
                case 0, 1, 2 -> direct(Blkif.BLKIF_OP_WRITE, 1 + random.nextInt(11));
                case 3, 4, 5 -> direct(Blkif.BLKIF_OP_READ, 1 + random.nextInt(11));
                case 6 -> direct(Blkif.BLKIF_OP_FLUSH_DISKCACHE, random.nextInt(3));
                case 7 -> direct(Blkif.BLKIF_OP_WRITE_BARRIER, random.nextInt(3));
                case 8 -> indirect(Blkif.BLKIF_OP_WRITE);
                case 9 -> indirect(Blkif.BLKIF_OP_READ);
                case 10 -> discard();
                default -> nonsense();
            }
        }
        ring.publish();
    }

    /** Puts one request. */
    void put(int operation, int segmentCount) {
        int before = puts;
        for (int tried = 0; puts == before; tried++) {
            assertThat(tried).as("tries to find a place and pages").isLessThan(1000);
            direct(operation, segmentCount); // until its place is free
        }
        ring.publish();
    }

    /** Sets the status that every later request is to have. */
    void expects(int status) {
        expected = status;
    }

    /** From now on answers are looked at no closer than this. */
    void accepts(IntPredicate isRight) {
        accepted = isRight;
    }

    private void direct(int operation, int segmentCount) {
        Asked asked = ask(operation, segmentCount);
        if (asked != null) {
            int slot = slot(operation, segmentCount, asked.id, asked.firstSector);
            for (int i = 0; i < segmentCount; i++) {
                segment(slot + layout.segment(i), asked.segments, i);
            }
        }
    }

    private void indirect(int innerOperation) {
        int count = 12 + random.nextInt(MOST_INDIRECT - 12);
        Integer page = freePages.poll();
        if (page == null) {
            return;
        }
        Asked asked = ask(innerOperation, count);
        if (asked == null) {
            freePages.addFirst(page);
            return;
        }
        for (int i = 0; i < count; i++) {
            segment(page * 4096 + 8 * i, asked.segments, i);
        }
        asked.segments[3 * count] = page;
        int slot = slot(Blkif.BLKIF_OP_INDIRECT, innerOperation, asked.id, asked.firstSector);
        memory.putShort(slot + BlkifLayout.INDIRECT_NR_SEGMENTS, (short) count);
        memory.putInt(slot + layout.indirectGref(0), page);
    }

    private void discard() {
        int from = random.nextInt(DISK_SECTORS - 64);
        int count = 1 + random.nextInt(64);
        if (isFree(from, count, true)) {
            long id = nextId++;
            waiting.put(
                    id,
                    new Asked(id, Blkif.BLKIF_OP_DISCARD, from, count, new int[1], new byte[count * 512], 0, Set.of()));
            int slot = slot(Blkif.BLKIF_OP_DISCARD, 0, id, from);
            memory.putLong(slot + layout.discardNrSectors(), count);
        }
    }

    private void nonsense() {
        boolean known = random.nextBoolean();
        int operation = known ? Blkif.BLKIF_OP_WRITE : 99;
        long id = nextId++;
        int status = known ? Blkif.BLKIF_RSP_ERROR : Blkif.BLKIF_RSP_EOPNOTSUPP;
        waiting.put(id, new Asked(id, operation, 0, 0, new int[1], new byte[0], status, Set.of()));
        slot(operation, known ? 200 : 0, id, 0);
    }

    private int slot(int operation, int second, long id, long sector) {
        puts++;
        int slot = ring.put();
        memory.put(slot, (byte) operation).put(slot + 1, (byte) second).putShort(slot + 2, (short) 0);
        memory.putLong(slot + layout.id(), id).putLong(slot + layout.sectorNumber(), sector);
        return slot;
    }

    private void segment(int at, int[] segments, int index) {
        memory.putInt(at, segments[3 * index]);
        memory.put(at + 4, (byte) segments[3 * index + 1]).put(at + 5, (byte) segments[3 * index + 2]);
    }

    private boolean isFree(int from, int count, boolean forChange) {
        return waiting.values().stream().noneMatch(each -> each.overlaps(from, count) && (forChange || each.writes()));
    }

    private @Nullable Asked ask(int operation, int segmentCount) {
        int[] segments = new int[3 * segmentCount + 1];
        int sectors = 0;
        if (freePages.size() < segmentCount) {
            return null;
        }
        for (int i = 0; i < segmentCount; i++) {
            int first = random.nextInt(8);
            int last = first + random.nextInt(8 - first);
            segments[3 * i + 1] = first;
            segments[3 * i + 2] = last;
            sectors += last - first + 1;
        }
        int from = random.nextInt(DISK_SECTORS - sectors);
        boolean writes = operation != Blkif.BLKIF_OP_READ;
        if (!isFree(from, sectors, writes)) {
            return null;
        }
        byte[] data = new byte[writes ? sectors * 512 : 0];
        random.nextBytes(data);
        int index = 0;
        for (int i = 0; i < segmentCount; i++) {
            int page = freePages.remove();
            segments[3 * i] = page;
            int length = (segments[3 * i + 2] - segments[3 * i + 1] + 1) * 512;
            if (writes) {
                memory.put(page * 4096 + segments[3 * i + 1] * 512, data, index, length);
            }
            index += length;
        }
        long id = nextId++;
        Asked asked =
                new Asked(id, operation, from, sectors, segments, data, expected, new HashSet<>(acknowledgedWrites));
        waiting.put(id, asked);
        return asked;
    }

    // ---- hearing

    /** What the ring shows now is answered, and may not be done again. */
    void look() {
        int now = memory.getInt(BlkifLayout.RSP_PROD);
        int slots = layout.slots(ringPages);
        for (; shownUpTo != now; shownUpTo++) {
            int at = BlkifLayout.FIRST_SLOT + (shownUpTo & slots - 1) * layout.slotBytes();
            answered.add(memory.getLong(at + BlkifLayout.RESPONSE_ID));
        }
    }

    void collect() {
        look();
        int at;
        while ((at = ring.take()) >= 0) {
            long id = memory.getLong(at + BlkifLayout.RESPONSE_ID);
            Asked asked = waiting.remove(id);
            assertThat(asked).as("request %d, answered once more", id).isNotNull();
            assertThat(memory.get(at + BlkifLayout.RESPONSE_OPERATION) & 0xff)
                    .as("operation of %s", asked)
                    .isEqualTo(asked.operation);
            int status = memory.getShort(at + BlkifLayout.RESPONSE_STATUS);
            if (accepted == null) {
                assertThat(status).as("status of %s", asked).isEqualTo(asked.status);
                settle(asked);
            } else {
                assertThat(accepted.test(status))
                        .as("status %d of %s", status, asked)
                        .isTrue();
            }
        }
    }

    private void settle(Asked asked) {
        if (asked.operation == Blkif.BLKIF_OP_READ) {
            assertThat(pagesOf(asked))
                    .as("what %s has read", asked.id)
                    .isEqualTo(Arrays.copyOfRange(
                            disk, asked.firstSector * 512, (asked.firstSector + asked.sectors) * 512));
        } else if (asked.writes() && asked.status == 0) {
            System.arraycopy(asked.data, 0, disk, asked.firstSector * 512, asked.data.length);
            acknowledgedWrites.add(asked.id);
        }
        if (asked.status == 0 && (asked.isBarrier() || asked.operation == Blkif.BLKIF_OP_FLUSH_DISKCACHE)) {
            assertThat(storage.stable)
                    .as("stable when %s is answered", asked.id)
                    .containsAll(asked.acknowledged);
        }
        if (asked.status == 0 && asked.isBarrier() && asked.writes()) {
            assertThat(storage.stable)
                    .as("stable when that barrier is answered")
                    .contains(asked.id);
        }
        byte[] other = new byte[4096];
        for (int page : pages(asked)) {
            random.nextBytes(other);
            memory.put(page * 4096, other);
            freePages.add(page);
        }
    }

    private byte[] pagesOf(Asked asked) {
        byte[] bytes = new byte[asked.sectors * 512];
        int index = 0;
        for (int i = 0; i < asked.segments.length / 3; i++) {
            int length = (asked.segments[3 * i + 2] - asked.segments[3 * i + 1] + 1) * 512;
            memory.get(asked.segments[3 * i] * 4096 + asked.segments[3 * i + 1] * 512, bytes, index, length);
            index += length;
        }
        return bytes;
    }

    private static List<Integer> pages(Asked asked) {
        List<Integer> pages = new ArrayList<>();
        for (int i = 0; i < asked.segments.length; i += 3) {
            if (asked.segments[i] != 0) {
                pages.add(asked.segments[i]); // the last one is that of an indirect request's segments
            }
        }
        return pages;
    }

    /** A page is about to be filled: that of a read that waits. */
    void filled(int page) {
        assertThat(waiting.values())
                .as("reads that wait and own page %d", page)
                .anyMatch(each -> each.operation == Blkif.BLKIF_OP_READ
                        && !answered.contains(each.id)
                        && pages(each).contains(page));
    }
}

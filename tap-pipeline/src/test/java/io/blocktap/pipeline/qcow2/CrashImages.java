package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.qcow2.RecordingStorage.Event;
import io.blocktap.pipeline.qcow2.RecordingStorage.Kind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/** What may be left of a recorded image when it ends after so many events. Events must be asked for in rising order. */
final class CrashImages {
    private static final int SECTOR_BYTES = 512;

    private final List<Event> events;
    private final Random random;
    private final SparseBytes written;
    private final SparseBytes stable;
    private int at;
    private int stableUpTo;

    CrashImages(SparseBytes start, List<Event> events, long seed) {
        this.events = events;
        this.random = new Random(seed);
        this.written = start.copy();
        this.stable = start.copy();
    }

    /** Goes on to a number of events. */
    void advanceTo(int count) {
        for (; at < count; at++) {
            Event event = events.get(at);
            if (event.kind() == Kind.SYNC) {
                for (; stableUpTo < event.covers(); stableUpTo++) {
                    apply(stable, events.get(stableUpTo));
                }
            } else {
                apply(written, event);
            }
        }
    }

    private static void apply(SparseBytes image, Event event) {
        switch (event.kind()) {
            case WRITE -> image.write(event.offset(), event.bytes(), 0, event.bytes().length);
            case DISCARD -> image.discard(event.offset(), event.bytes().length);
            default -> {
                // changes nothing
            }
        }
    }

    /** The process was killed: all writes are there. */
    SparseBytes killed() {
        return written.copy();
    }

    /** The process was killed in the middle of the next write. */
    SparseBytes killedInNext() {
        SparseBytes image = written.copy();
        Event next = at < events.size() ? events.get(at) : null;
        if (next != null && next.kind() == Kind.WRITE) {
            int sectors = random.nextInt(next.bytes().length / SECTOR_BYTES + 1);
            image.write(next.offset(), next.bytes(), 0, Math.min(next.bytes().length, sectors * SECTOR_BYTES));
        }
        return image;
    }

    /** Power was lost: of what is not stable any sectors are there, in any order. */
    SparseBytes powerLost() {
        SparseBytes image = stable.copy();
        List<Event> unstable = new ArrayList<>(events.subList(stableUpTo, at));
        unstable.removeIf(event -> event.kind() == Kind.SYNC);
        Collections.shuffle(unstable, random);
        int chance = random.nextInt(101);
        boolean whole = random.nextBoolean();
        for (Event event : unstable) {
            if (whole) {
                if (random.nextInt(100) < chance) {
                    apply(image, event);
                }
                continue;
            }
            byte[] bytes = event.bytes();
            if (event.kind() == Kind.DISCARD) {
                bytes = bytes.clone();
                Arrays.fill(bytes, (byte) 0xdd);
            }
            for (int sector = 0; sector < bytes.length; sector += SECTOR_BYTES) {
                if (random.nextInt(100) < chance) {
                    image.write(event.offset() + sector, bytes, sector, Math.min(SECTOR_BYTES, bytes.length - sector));
                }
            }
        }
        return image;
    }
}

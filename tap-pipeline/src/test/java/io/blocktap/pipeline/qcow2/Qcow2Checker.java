package io.blocktap.pipeline.qcow2;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Reads a qcow2 image and checks it, with no code of the engine: the simplest way that the format allows. No compressed clusters.
 * Stricter than QEMU in one thing: a count of a cluster behind the end of the file is a leak.
 *
 * <p>Source: QEMU, {@code docs/interop/qcow2.txt}.
 */
final class Qcow2Checker {
    private static final long OFFSET = 0x00ff_ffff_ffff_fe00L;

    private final SparseBytes image;
    private final @Nullable SparseBytes base;
    private final int clusterBytes;
    private final long size;
    private final int refcountBits;
    private final long[] l1;
    private final long l1Offset;
    private final long tableOffset;
    private final int tableClusters;
    /** L1 tables of snapshots, and where they are. */
    private final Map<Long, long[]> snapshots = new TreeMap<>();

    private long snapshotTableBytes;
    private final long snapshotTableOffset;
    private final Map<Long, Integer> references = new TreeMap<>();

    /** What is wrong: somebody could lose data. */
    final List<String> errors = new ArrayList<>();
    /** Clusters that are counted more often than they are used. */
    final List<String> leaks = new ArrayList<>();

    Qcow2Checker(SparseBytes image, @Nullable SparseBytes base) {
        this.image = image;
        this.base = base;
        ByteBuffer header = ByteBuffer.wrap(image.read(0, 112));
        if (header.getInt(0) != 0x514649fb || header.getInt(4) != 3) {
            throw new AssertionError("no qcow2 header");
        }
        clusterBytes = 1 << header.getInt(20);
        size = header.getLong(24);
        refcountBits = 1 << header.getInt(96);
        if (refcountBits != 16) {
            throw new AssertionError("refcounts of " + refcountBits + " bits");
        }
        int entries = header.getInt(36);
        l1Offset = header.getLong(40);
        l1 = words(l1Offset, entries);
        tableOffset = header.getLong(48);
        tableClusters = header.getInt(56);
        snapshotTableOffset = header.getLong(64);
        for (int i = 0; i < header.getInt(60); i++) {
            long at = snapshotTableOffset + snapshotTableBytes;
            ByteBuffer entry = ByteBuffer.wrap(image.read(at, 40));
            snapshots.put(entry.getLong(0), words(entry.getLong(0), entry.getInt(8)));
            int length = 40 + entry.getInt(36) + entry.getShort(12) + entry.getShort(14);
            snapshotTableBytes += length + (-length & 7);
        }
    }

    private long[] words(long offset, int count) {
        long[] words = new long[count];
        ByteBuffer.wrap(image.read(offset, count * 8)).asLongBuffer().get(words);
        return words;
    }

    /** Compares references with counts. */
    Qcow2Checker check() {
        refer("header", 0, 1);
        refer("L1", l1Offset, (l1.length * 8L + clusterBytes - 1) / clusterBytes);
        refer("refcount table", tableOffset, tableClusters);
        long[] blocks = words(tableOffset, tableClusters * clusterBytes / 8);
        for (int i = 0; i < blocks.length; i++) {
            if (blocks[i] != 0) {
                refer("refcount block " + i, blocks[i], 1);
            }
        }
        for (int i = 0; i < l1.length; i++) {
            if (l1[i] != 0) {
                copied("L1 entry " + i, l1[i], l1[i] & OFFSET, blocks);
                checkTable("", i, l1[i], blocks);
            }
        }
        refer("snapshots", snapshotTableOffset, (snapshotTableBytes + clusterBytes - 1) / clusterBytes);
        snapshots.forEach((offset, entries) -> {
            refer("snapshot", offset, (entries.length * 8L + clusterBytes - 1) / clusterBytes);
            for (int i = 0; i < entries.length; i++) {
                if (entries[i] != 0) {
                    checkTable("snapshot: ", i, entries[i], null);
                }
            }
        });
        int perBlock = clusterBytes / 2;
        for (int i = 0; i < blocks.length; i++) {
            if (blocks[i] == 0) {
                continue;
            }
            ByteBuffer counts = ByteBuffer.wrap(image.read(blocks[i], clusterBytes));
            for (int j = 0; j < perBlock; j++) {
                int count = counts.getShort(j * 2) & 0xffff;
                long cluster = (long) i * perBlock + j;
                Integer used = references.remove(cluster);
                int expected = used == null ? 0 : used;
                if (count < expected) {
                    errors.add("cluster " + cluster + " is used " + expected + " times and counted " + count);
                } else if (count > expected) {
                    leaks.add("cluster " + cluster + " is used " + expected + " times and counted " + count);
                }
            }
        }
        references.forEach((cluster, used) -> errors.add("cluster " + cluster + " is used and not counted"));
        return this;
    }

    /** @param blocks null if flags may be old, as a snapshot's are */
    private void checkTable(String whose, int index, long l1Entry, long @Nullable [] blocks) {
        long table = l1Entry & OFFSET;
        refer(whose + "L2 " + index, table, 1);
        long[] entries = words(table, clusterBytes / 8);
        for (int i = 0; i < entries.length; i++) {
            long entry = entries[i];
            if ((entry & 1L << 62) != 0 || (entry & 0x3f00_0000_0000_01feL) != 0) {
                errors.add("entry " + index + "/" + i + " is " + Long.toHexString(entry));
            } else if ((entry & OFFSET) != 0) {
                refer(whose + "entry " + index + "/" + i, entry & OFFSET, 1);
                if (blocks != null) {
                    copied("entry " + index + "/" + i, entry, entry & OFFSET, blocks);
                }
            }
        }
    }

    private void copied(String what, long entry, long offset, long[] blocks) {
        long cluster = offset / clusterBytes;
        int perBlock = clusterBytes / 2;
        int block = (int) (cluster / perBlock);
        int count = block < blocks.length && blocks[block] != 0
                ? ByteBuffer.wrap(image.read(blocks[block] + cluster % perBlock * 2, 2))
                                .getShort()
                        & 0xffff
                : 0;
        // A count that is too high with the flag set is what a crash may leave; qemu-img takes the flag back when it
        // mends the leak.
        if (count == 1 != (entry < 0) && count != 0) {
            errors.add(what + ": flag COPIED with a count of " + count);
        }
    }

    private void refer(String what, long offset, long clusters) {
        if (offset % clusterBytes != 0) {
            errors.add(what + " is at " + offset + ", which is no cluster's start");
        }
        for (long i = 0; i < clusters; i++) {
            if (references.merge(offset / clusterBytes + i, 1, Integer::sum) > 1 + snapshots.size()) {
                errors.add(what + " uses a cluster that something else uses: " + (offset / clusterBytes + i));
            }
        }
    }

    /** Returns how many clusters the file has; the last one may be cut short. */
    long clustersInFile() {
        return (image.size() + clusterBytes - 1) / clusterBytes;
    }

    long size() {
        return size;
    }

    /** Returns what the disk has. */
    byte[] content() {
        return content(l1);
    }

    /** Returns what the disk had when its only snapshot was made. */
    byte[] snapshot() {
        return content(snapshots.values().iterator().next());
    }

    private byte[] content(long[] tables) {
        byte[] result = new byte[(int) size];
        for (int at = 0; at < size; at += clusterBytes) {
            int cluster = at / clusterBytes;
            int perTable = clusterBytes / 8;
            long table = tables[cluster / perTable] & OFFSET;
            long entry = table == 0 ? 0 : words(table + cluster % perTable * 8L, 1)[0];
            int length = (int) Math.min(clusterBytes, size - at);
            byte[] bytes = new byte[length];
            if ((entry & 1) == 0) {
                if ((entry & OFFSET) != 0) {
                    bytes = image.read(entry & OFFSET, length);
                } else if (base != null) {
                    bytes = base.read(at, length);
                }
            }
            System.arraycopy(bytes, 0, result, at, length);
        }
        return result;
    }
}

package io.blocktap.pipeline.qcow2;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.zip.Inflater;

/** As {@link Qcow2Checker}, for images with internal snapshots, compressed clusters (zlib) and refcounts of any width; without a base. */
final class SharingChecker {
    private static final long OFFSET = 0x00ff_ffff_ffff_fe00L;

    private final SparseBytes image;
    private final int bits;
    private final int clusterBytes;
    private final long size;
    private final int order;
    private final long[] blocks;
    private final long[] active;
    private final List<long[]> snapshots = new ArrayList<>();
    private final TreeMap<Long, Integer> references = new TreeMap<>();
    final List<String> errors = new ArrayList<>();
    final List<String> leaks = new ArrayList<>();

    SharingChecker(SparseBytes image) {
        this.image = image;
        ByteBuffer header = ByteBuffer.wrap(image.read(0, 112));
        bits = header.getInt(20);
        clusterBytes = 1 << bits;
        size = header.getLong(24);
        order = header.getInt(96);
        active = words(header.getLong(40), header.getInt(36));
        long tableOffset = header.getLong(48);
        int tableClusters = header.getInt(56);
        blocks = words(tableOffset, tableClusters * clusterBytes / 8);
        refer(0, 1);
        refer(header.getLong(40), active.length * 8L);
        refer(tableOffset, (long) tableClusters * clusterBytes);
        for (long block : blocks) {
            if (block != 0) {
                refer(block, 1);
            }
        }
        tables(active);
        long at = header.getLong(64);
        long start = at;
        for (int i = 0; i < header.getInt(60); i++) {
            ByteBuffer entry = ByteBuffer.wrap(image.read(at, 1024));
            long[] l1 = words(entry.getLong(0), entry.getInt(8));
            refer(entry.getLong(0), entry.getInt(8) * 8L);
            snapshots.add(l1);
            tables(l1);
            int length = 40 + entry.getInt(36) + (entry.getShort(12) & 0xffff) + (entry.getShort(14) & 0xffff);
            at += length + 7 & ~7;
        }
        if (at > start) {
            refer(start, at - start);
        }
        compare();
    }

    private long[] words(long offset, int count) {
        long[] words = new long[count];
        ByteBuffer.wrap(image.read(offset, count * 8)).asLongBuffer().get(words);
        return words;
    }

    private void refer(long offset, long bytes) {
        for (long c = offset >>> bits; c <= offset + bytes - 1 >>> bits; c++) {
            references.merge(c, 1, Integer::sum);
        }
    }

    private void tables(long[] l1) {
        for (long each : l1) {
            long table = each & OFFSET;
            if (table != 0) {
                refer(table, clusterBytes);
                for (long entry : words(table, clusterBytes / 8)) {
                    if ((entry & 1L << 62) != 0) {
                        refer(compressedStart(entry), compressedLength(entry));
                    } else if ((entry & OFFSET) != 0) {
                        refer(entry & OFFSET, clusterBytes);
                    }
                }
            }
        }
    }

    private long compressedStart(long entry) {
        return entry & (1L << 62 - (bits - 8)) - 1;
    }

    private int compressedLength(long entry) {
        int shift = 62 - (bits - 8);
        long sectors = entry >>> shift & (1L << bits - 8) - 1;
        return (int) ((sectors + 1) * 512 - (compressedStart(entry) & 511));
    }

    private long count(long cluster) {
        long perBlock = (long) clusterBytes * 8 >> order;
        int block = (int) (cluster / perBlock);
        if (block >= blocks.length || blocks[block] == 0) {
            return 0;
        }
        int index = (int) (cluster % perBlock);
        if (order < 3) {
            int perByte = 8 >> order;
            int b = image.read(blocks[block] + index / perByte, 1)[0] & 0xff;
            return b >> (index % perByte << order) & (1 << (1 << order)) - 1;
        }
        int bytes = 1 << order - 3;
        byte[] raw = image.read(blocks[block] + (long) index * bytes, bytes);
        long value = 0;
        for (byte each : raw) {
            value = value << 8 | each & 0xff;
        }
        return value;
    }

    private void compare() {
        references.forEach((cluster, used) -> {
            long count = count(cluster);
            if (count < used) {
                errors.add("cluster " + cluster + " is used " + used + " times and counted " + count);
            } else if (count > used) {
                leaks.add("cluster " + cluster + " used " + used + " counted " + count);
            }
        });
        long clusters = (image.size() + clusterBytes - 1) / clusterBytes;
        for (long c = 0; c < clusters; c++) {
            if (!references.containsKey(c) && count(c) != 0) {
                leaks.add("cluster " + c + " used 0 counted " + count(c));
            }
        }
        for (long each : active) {
            long table = each & OFFSET;
            if (table == 0) {
                continue;
            }
            copied("table", each, table);
            for (long entry : words(table, clusterBytes / 8)) {
                if ((entry & 1L << 62) == 0 && (entry & OFFSET) != 0) {
                    copied("entry", entry, entry & OFFSET);
                }
            }
        }
    }

    private void copied(String what, long entry, long offset) {
        int used = references.get(offset >>> bits);
        if (entry < 0 && used > 1) {
            errors.add(what + " at cluster " + (offset >>> bits) + " says COPIED and is used " + used + " times");
        }
    }

    int snapshots() {
        return snapshots.size();
    }

    byte[] content(int snapshot) {
        long[] l1 = snapshot < 0 ? active : snapshots.get(snapshot);
        byte[] result = new byte[(int) size];
        int perTable = clusterBytes / 8;
        for (int at = 0; at < size; at += clusterBytes) {
            int cluster = at / clusterBytes;
            long table = l1[cluster / perTable] & OFFSET;
            long entry = table == 0 ? 0 : words(table + cluster % perTable * 8L, 1)[0];
            int length = (int) Math.min(clusterBytes, size - at);
            byte[] bytes = new byte[length];
            if ((entry & 1L << 62) != 0) {
                byte[] from = image.read(compressedStart(entry), compressedLength(entry));
                byte[] into = new byte[clusterBytes];
                Inflater inflater = new Inflater(true);
                try {
                    inflater.setInput(from);
                    int done = inflater.inflate(into);
                    if (done != clusterBytes) {
                        errors.add("compressed cluster " + cluster + " gives " + done);
                    }
                } catch (Exception e) {
                    errors.add("compressed cluster " + cluster + ": " + e);
                } finally {
                    inflater.end();
                }
                System.arraycopy(into, 0, bytes, 0, length);
            } else if ((entry & 1) == 0 && (entry & OFFSET) != 0) {
                bytes = image.read(entry & OFFSET, length);
            }
            System.arraycopy(bytes, 0, result, at, length);
        }
        return result;
    }
}

package io.blocktap.pipeline.qcow2;

import java.util.Arrays;

/** What was changed in a map from one checkpoint to the next. Under the monitor of the {@link ImageMap}, or the checkpoint's alone. */
final class Changes {
    /** Host clusters that have become used. */
    ExtentList used = new ExtentList();
    /** Host clusters whose users have become one less each. */
    ExtentList dropped = new ExtentList();
    /** Descriptors of compressed clusters that were replaced. */
    private long[] droppedCompressed = new long[0];

    private int droppedCompressedCount;

    void dropCompressed(long entry) {
        if (droppedCompressedCount == droppedCompressed.length) {
            droppedCompressed = Arrays.copyOf(droppedCompressed, Math.max(16, 2 * droppedCompressedCount));
        }
        droppedCompressed[droppedCompressedCount++] = entry;
    }

    int droppedCompressedCount() {
        return droppedCompressedCount;
    }

    long droppedCompressed(int index) {
        return droppedCompressed[index];
    }

    int size() {
        return used.size() + dropped.size() + droppedCompressedCount;
    }

    boolean hasDrops() {
        return !dropped.isEmpty() || droppedCompressedCount > 0;
    }

    /** Adds those of a checkpoint that has failed. */
    void addAll(Changes other) {
        used.addAll(other.used);
        dropped.addAll(other.dropped);
        for (int i = 0; i < other.droppedCompressedCount; i++) {
            dropCompressed(other.droppedCompressed[i]);
        }
    }
}

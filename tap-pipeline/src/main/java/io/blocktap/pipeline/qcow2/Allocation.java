package io.blocktap.pipeline.qcow2;

import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/**
 * Host clusters that are being filled for clusters of the disk in a row, which do not have them yet. Part of an {@link Operation}, used again and again.
 *
 * <p>Threads: what says so under the monitor of the {@link ImageMap}; the rest is the operation's.
 */
final class Allocation {
    /** Others that want to change one of these clusters. Under the monitor. */
    final Waiters waiters = new Waiters();
    /** Where the entries will stand; pinned. Under the monitor. */
    @Nullable
    L2Table table;

    long firstCluster;
    int clusters;
    long firstHost;
    /** What the first and the last cluster were before. */
    long firstEntry;

    long lastEntry;
    /** The host clusters read as zeroes. */
    boolean isFresh;

    boolean isInUse;
    int transfers;
    boolean hasFailed;
    /** The range of the disk that the operation writes of it. */
    long from;

    long to;
    /** Whole clusters, composed of what is below and what is written. */
    @Nullable
    ByteBuf head;

    @Nullable
    ByteBuf tail;

    void releaseBuffers() {
        if (head != null) {
            head.release();
            head = null;
        }
        if (tail != null) {
            tail.release();
            tail = null;
        }
    }
}

package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.SegmentList;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.memory.RegionBuf;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * Recycled windows onto a frontend's memory, and recycled segment lists. A window holds a reference of the region from the moment it is taken
 * until its last release, so the memory outlives every request that uses it.
 */
final class WindowPool {
    private final ArrayDeque<Window> windows = new ArrayDeque<>();
    private final ArrayDeque<SegmentList> lists = new ArrayDeque<>();

    RegionBuf window(MappedRegion region, int offsetBytes, int lengthBytes) {
        Window window = windows.poll();
        if (window == null) {
            window = new Window();
        }
        window.use(region, offsetBytes, lengthBytes);
        return window;
    }

    SegmentList list() {
        SegmentList list = lists.poll();
        if (list == null) {
            list = new SegmentList();
        }
        list.clear();
        return list;
    }

    void giveBack(SegmentList list) {
        lists.push(list);
    }

    /** A buffer that goes back to the pool when it is released. */
    private final class Window extends RegionBuf {
        private @Nullable MappedRegion held;
        private boolean used;

        void use(MappedRegion region, int offsetBytes, int lengthBytes) {
            if (used) {
                revive();
            }
            used = true;
            region.retain();
            held = region;
            pointTo(region, offsetBytes, lengthBytes);
        }

        @Override
        protected void onRelease() {
            MappedRegion region = held;
            held = null;
            windows.push(this);
            if (region != null) {
                region.release();
            }
        }
    }
}

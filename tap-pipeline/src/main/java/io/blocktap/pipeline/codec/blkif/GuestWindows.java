package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.memory.RegionBuf;
import org.jspecify.annotations.Nullable;

/**
 * Windows onto one frontend's memory, one kept with each recycled request. Together they hold one reference of the memory, from the first window until {@link
 * #close} and the last release of a window, so the memory outlives every request that uses it.
 *
 * <p>Threads: the ring's event loop; windows are released on it, too.
 */
final class GuestWindows {
    private int used;
    private @Nullable MappedRegion held;
    private boolean closed;

    /**
     * Returns a window for the data of a request.
     *
     * @param region the same at every call
     */
    RegionBuf window(BlockRequest request, MappedRegion region, int offsetBytes, int lengthBytes) {
        if (held != region) {
            hold(region);
        }
        Window window = (Window) request.tapObject();
        if (window == null || window.refCnt() != 0) {
            // The first time; or a stage has kept the data of the request that was this object before.
            window = new Window(region, offsetBytes, lengthBytes);
            request.keepForTap(window);
        } else {
            window.use(region, offsetBytes, lengthBytes);
        }
        used++;
        return window;
    }

    private void hold(MappedRegion region) {
        if (held != null) {
            throw new IllegalStateException("a ring has one region");
        }
        held = region.retain();
    }

    /** No more windows are asked for; lets go of the memory as soon as none is out. May be called again. */
    void close() {
        closed = true;
        letGoIfUnused();
    }

    private void letGoIfUnused() {
        MappedRegion region = held;
        if (closed && used == 0 && region != null) {
            held = null;
            region.release();
        }
    }

    private final class Window extends RegionBuf {
        Window(MappedRegion region, int offsetBytes, int lengthBytes) {
            super(region, offsetBytes, lengthBytes);
        }

        void use(MappedRegion region, int offsetBytes, int lengthBytes) {
            revive();
            pointTo(region, offsetBytes, lengthBytes);
        }

        @Override
        protected void onRelease() {
            used--;
            letGoIfUnused();
        }
    }
}

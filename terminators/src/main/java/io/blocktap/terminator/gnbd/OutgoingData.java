package io.blocktap.terminator.gnbd;

import io.blocktap.transport.memory.RegionBuf;
import io.netty.buffer.ByteBuf;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * Lends parts of requests' data to the socket, without a copy. A window keeps the data it points to until the socket has taken them, also if the request was answered or given
 * up meanwhile.
 *
 * <p>Threads: the home loop. In steady state nothing is allocated.
 */
final class OutgoingData {
    private final ArrayDeque<Window> free = new ArrayDeque<>();

    /** Returns a part of a WRITE's data, to be sent and released by the socket. */
    ByteBuf window(ByteBuf data, int startBytes, int lengthBytes) {
        if (!(data instanceof RegionBuf region)) {
            return data.retainedSlice(startBytes, lengthBytes); // a stage's own buffer
        }
        Window window = free.poll();
        if (window == null) {
            window = new Window();
        }
        window.open(region, startBytes, lengthBytes);
        return window;
    }

    private final class Window extends RegionBuf {
        private @Nullable RegionBuf data;

        void open(RegionBuf region, int startBytes, int lengthBytes) {
            revive();
            pointTo(region, startBytes, lengthBytes);
            setIndex(0, lengthBytes);
            data = (RegionBuf) region.retain();
        }

        @Override
        protected void onRelease() {
            pointNowhere();
            RegionBuf lent = data;
            data = null;
            if (lent != null) {
                lent.release();
            }
            free.push(this);
        }
    }
}

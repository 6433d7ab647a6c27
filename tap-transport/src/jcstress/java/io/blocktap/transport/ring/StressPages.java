package io.blocktap.transport.ring;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.atomic.AtomicInteger;

/** Ring pages for the states of a stress test. jcstress keeps up to some ten thousand at a time; the oldest are used again. */
final class StressPages {
    private static final int PAGE_BYTES = 4096;
    private static final int PAGES = 1 << 15;
    private static final int USED_BYTES = BlkifLayout.FIRST_SLOT + 4 * BlkifLayout.X86_64.slotBytes();

    private static final ByteBuffer ARENA = ByteBuffer.allocateDirect(PAGES * PAGE_BYTES);
    private static final ByteBuffer ZEROES = ByteBuffer.allocateDirect(USED_BYTES);
    private static final AtomicInteger NEXT_PAGE = new AtomicInteger();

    private StressPages() {}

    /** Returns a page with a fresh ring, its first four slots zeroed. */
    static ByteBuffer next() {
        ByteBuffer page = ARENA.slice((NEXT_PAGE.getAndIncrement() & PAGES - 1) * PAGE_BYTES, PAGE_BYTES)
                .order(ByteOrder.LITTLE_ENDIAN);
        page.put(0, ZEROES, 0, USED_BYTES);
        FrontRing.initialise(page);
        return page;
    }
}

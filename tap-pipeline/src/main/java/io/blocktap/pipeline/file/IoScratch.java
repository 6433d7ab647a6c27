package io.blocktap.pipeline.file;

import io.blocktap.transport.sys.Libc;
import io.netty.util.concurrent.FastThreadLocal;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.jspecify.annotations.Nullable;

/** Native scratch memory of one thread: an iovec, and an aligned buffer for data that can't be used where they are. */
final class IoScratch {
    /** Size of the aligned buffer. */
    static final int BOUNCE_BYTES = 1 << 20;

    private static final FastThreadLocal<IoScratch> CURRENT = new FastThreadLocal<>() {
        @Override
        protected IoScratch initialValue() {
            return new IoScratch();
        }
    };

    // Direct buffers, which the collector frees some time after their thread has ended.
    private final ByteBuffer view = ByteBuffer.allocateDirect(Libc.PAGE_BYTES).order(ByteOrder.nativeOrder());
    private final long address = Libc.addressOf(view);
    private @Nullable ByteBuffer bounce;
    private long bounceAddress;

    private IoScratch() {}

    /** Returns the calling thread's own. */
    static IoScratch ofThisThread() {
        return CURRENT.get();
    }

    /** Returns the address of a page of memory, for iovecs. */
    long address() {
        return address;
    }

    /** Returns the page at {@link #address}, in native byte order. */
    ByteBuffer view() {
        return view;
    }

    private ByteBuffer aligned() {
        ByteBuffer present = bounce;
        if (present == null) {
            present = ByteBuffer.allocateDirect(BOUNCE_BYTES + Libc.PAGE_BYTES).alignedSlice(Libc.PAGE_BYTES);
            bounce = present;
            bounceAddress = Libc.addressOf(present);
        }
        return present;
    }

    /** Returns the address of the aligned buffer. */
    long bounceAddress() {
        aligned();
        return bounceAddress;
    }

    /** Returns a fresh view of a part of the aligned buffer. */
    ByteBuffer bounce(int offsetBytes, int lengthBytes) {
        return aligned().slice(offsetBytes, lengthBytes);
    }
}

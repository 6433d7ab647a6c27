package io.blocktap.transport;

import io.blocktap.transport.memory.MappedRegion;
import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/**
 * The pages that a frontend has granted, by grant reference. What is in them may change at any time.
 *
 * <p>Threads: the channel's event loop.
 */
public interface GuestMemory {
    /** Returns whether a grant reference names a data page. */
    boolean isValid(int gref);

    /**
     * Returns the mapping that holds all data pages, page {@code gref} at offset {@code gref * 4096}, if there is one; then requests whose pages lie side
     * by side need no copy.
     *
     * @return the region, owned by this object; null if pages can only be copied
     */
    @Nullable
    MappedRegion region();

    /**
     * Copies from a page.
     *
     * @param gref a valid grant reference
     * @param pageOffset first byte in the page
     * @param length bytes; {@code pageOffset + length} is at most 4096
     * @return whether it could be done
     */
    boolean copyIn(int gref, int pageOffset, int length, ByteBuf target, int targetIndex);

    /** Copies into a page; see {@link #copyIn}. */
    boolean copyOut(ByteBuf source, int sourceIndex, int gref, int pageOffset, int length);
}

package io.blocktap.transport;

import io.blocktap.transport.memory.MappedRegion;
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

    /** Returns the copies from the frontend's pages; the same object at every call. */
    GuestCopies copiesFromGuest();

    /** Returns the copies into the frontend's pages; the same object at every call. */
    GuestCopies copiesToGuest();
}

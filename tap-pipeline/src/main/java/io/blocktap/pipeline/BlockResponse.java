package io.blocktap.pipeline;

/**
 * The answer to one {@link BlockRequest}, on its way back up. It belongs to its request and is recycled with it; the data of a READ
 * are the request's {@link BlockRequest#data()}.
 *
 * <p>Threads: the request's event loop.
 */
public final class BlockResponse {
    private final BlockRequest request;
    private BlockStatus status = BlockStatus.OK;

    BlockResponse(BlockRequest request) {
        this.request = request;
    }

    /** Returns the request that this answers. */
    public BlockRequest request() {
        return request;
    }

    /** Returns how it ended. */
    public BlockStatus status() {
        return status;
    }

    /** Changes how it ended; a response hook may turn success into failure (never a failed flush into success). */
    public void setStatus(BlockStatus newStatus) {
        this.status = newStatus;
    }

    @Override
    public String toString() {
        return status + " " + request;
    }
}

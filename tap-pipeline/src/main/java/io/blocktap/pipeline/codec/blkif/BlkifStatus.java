package io.blocktap.pipeline.codec.blkif;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.transport.ring.Blkif;

/** The one table from blocktap's statuses to the ring's. */
final class BlkifStatus {
    private BlkifStatus() {}

    static int of(BlockStatus status) {
        return switch (status) {
            case OK -> Blkif.BLKIF_RSP_OKAY;
            // A frontend takes this for "switch the feature off"; guests have crashed on ERROR in its place.
            case UNSUPPORTED -> Blkif.BLKIF_RSP_EOPNOTSUPP;
            case IO_ERROR, NO_SPACE, READ_ONLY, OUT_OF_RANGE, INVALID, SHUTDOWN -> Blkif.BLKIF_RSP_ERROR;
        };
    }
}

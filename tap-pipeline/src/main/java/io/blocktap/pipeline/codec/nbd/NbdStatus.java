package io.blocktap.pipeline.codec.nbd;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;

/** The one table from {@link BlockStatus} to the error numbers of NBD ({@code proto.md}, "Error values"). */
public final class NbdStatus {
    private NbdStatus() {}

    /**
     * Returns the error number of an answer.
     *
     * @param status how the request ended
     * @param op what it asked for: past the end is a lack of space for those that store something
     */
    public static int errno(BlockStatus status, BlockOp op) {
        return switch (status) {
            case OK -> 0;
            case IO_ERROR -> Nbd.EIO;
            case UNSUPPORTED -> Nbd.ENOTSUP;
            case NO_SPACE -> Nbd.ENOSPC;
            case READ_ONLY -> Nbd.EPERM;
            case OUT_OF_RANGE -> op == BlockOp.WRITE || op == BlockOp.WRITE_ZEROES ? Nbd.ENOSPC : Nbd.EINVAL;
            case INVALID -> Nbd.EINVAL;
            case SHUTDOWN -> Nbd.ESHUTDOWN;
        };
    }
}

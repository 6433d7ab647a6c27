package io.blocktap.pipeline.codec.nbd;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.netty.buffer.ByteBuf;

/**
 * Decodes and checks the header of one request of the transmission phase. The payload of a WRITE follows it.
 *
 * <pre>
 * 0           4           6          8            16           24           28
 * | magic u32 | flags u16 | type u16 | cookie u64 | offset u64 | length u32 |
 * </pre>
 *
 * <p>One object serves all requests of a connection, one after another. Threads: one at a time.
 */
public final class NbdRequest {
    private static final int MAGIC = 0;
    private static final int FLAGS = MAGIC + Integer.BYTES;
    private static final int TYPE = FLAGS + Short.BYTES;
    private static final int COOKIE = TYPE + Short.BYTES;
    private static final int OFFSET = COOKIE + Long.BYTES;
    private static final int LENGTH = OFFSET + Long.BYTES;
    /** Bytes in a request's header. */
    public static final int BYTES = LENGTH + Integer.BYTES;

    private int flags;
    private int type;
    private long cookie;
    private long offsetBytes;
    private long lengthBytes;

    /**
     * Reads a header.
     *
     * @param source holds at least {@link #BYTES} from the index; its indexes stay as they are
     * @param index of the first byte
     * @return whether it begins with the magic number; if not, the stream is out of step and can not be used any more
     */
    public boolean read(ByteBuf source, int index) {
        if (source.getInt(index + MAGIC) != Nbd.REQUEST_MAGIC) {
            return false;
        }
        int flagsAndType = source.getInt(index + FLAGS);
        flags = flagsAndType >>> Short.SIZE;
        type = flagsAndType & 0xffff;
        cookie = source.getLong(index + COOKIE);
        offsetBytes = source.getLong(index + OFFSET);
        lengthBytes = source.getInt(index + LENGTH) & 0xffff_ffffL;
        return true;
    }

    /** Returns the command's number, {@link Nbd#CMD_READ} and so on; perhaps one that nobody knows. */
    public int type() {
        return type;
    }

    /** Returns the client's id of the request. */
    public long cookie() {
        return cookie;
    }

    /** Returns the length: of the range, and of a WRITE's payload. */
    public long lengthBytes() {
        return lengthBytes;
    }

    /** Returns the start of the range. */
    public long offsetBytes() {
        return offsetBytes;
    }

    /** Returns the bytes that it moves, one way or the other. */
    public long dataBytes() {
        return type == Nbd.CMD_WRITE || type == Nbd.CMD_READ ? lengthBytes : 0;
    }

    /** Returns the bytes that follow the header. */
    public long payloadBytes() {
        return type == Nbd.CMD_WRITE ? lengthBytes : 0;
    }

    /**
     * Checks everything that can be checked before the request goes to the disk.
     *
     * @param export what the client was told
     * @param sizeBytes the size of the disk at this moment, which may be another than the client was told
     * @return 0, or the error number to answer
     */
    public int check(NbdExport export, long sizeBytes) {
        int errno = checkCommand(export);
        if (errno != 0 || type == Nbd.CMD_FLUSH) {
            return errno;
        }
        // As unsigned numbers: an offset from 2^63 on is past every end.
        if (offsetBytes < 0 || offsetBytes > sizeBytes || lengthBytes > sizeBytes - offsetBytes) {
            return type == Nbd.CMD_WRITE || type == Nbd.CMD_WRITE_ZEROES ? Nbd.ENOSPC : Nbd.EINVAL;
        }
        boolean hasData = type == Nbd.CMD_READ || type == Nbd.CMD_WRITE;
        if (hasData && lengthBytes > Nbd.MAX_PAYLOAD_BYTES
                || ((offsetBytes | lengthBytes) & export.minimumBlockBytes() - 1) != 0) {
            return Nbd.EINVAL;
        }
        return 0;
    }

    private int checkCommand(NbdExport export) {
        switch (type) {
            case Nbd.CMD_READ -> {
                return checkFlags(export, 0);
            }
            case Nbd.CMD_FLUSH -> {
                return !export.has(Nbd.FLAG_SEND_FLUSH) || offsetBytes != 0 || lengthBytes != 0
                        ? Nbd.EINVAL
                        : checkFlags(export, 0);
            }
            case Nbd.CMD_WRITE -> {
                return export.has(Nbd.FLAG_READ_ONLY) ? Nbd.EPERM : checkFlags(export, 0);
            }
            case Nbd.CMD_TRIM -> {
                return checkWriteKind(export, Nbd.FLAG_SEND_TRIM, 0);
            }
            case Nbd.CMD_WRITE_ZEROES -> {
                int fast = export.has(Nbd.FLAG_SEND_FAST_ZERO) ? Nbd.CMD_FLAG_FAST_ZERO : 0;
                return checkWriteKind(export, Nbd.FLAG_SEND_WRITE_ZEROES, Nbd.CMD_FLAG_NO_HOLE | fast);
            }
            default -> {
                return Nbd.EINVAL;
            }
        }
    }

    private int checkWriteKind(NbdExport export, int neededFlag, int knownFlags) {
        if (export.has(Nbd.FLAG_READ_ONLY)) {
            return Nbd.EPERM;
        }
        return export.has(neededFlag) ? checkFlags(export, knownFlags) : Nbd.EINVAL;
    }

    /** FUA is known to every command once it is offered, and means nothing where nothing is stored. */
    private int checkFlags(NbdExport export, int knownFlags) {
        int known = knownFlags | (export.has(Nbd.FLAG_SEND_FUA) ? Nbd.CMD_FLAG_FUA : 0);
        return (flags & ~known) == 0 ? 0 : Nbd.EINVAL;
    }

    /** Describes a request that {@link #check} has found good to the pipeline; its data are the caller's business. */
    public void describeTo(BlockRequest request) {
        request.describe(op(), blockFlags(), offsetBytes, lengthBytes).withCookie(cookie, 0);
    }

    /** Returns the operation of a command that {@link #check} has found good. */
    public BlockOp op() {
        return switch (type) {
            case Nbd.CMD_READ -> BlockOp.READ;
            case Nbd.CMD_WRITE -> BlockOp.WRITE;
            case Nbd.CMD_FLUSH -> BlockOp.FLUSH;
            case Nbd.CMD_TRIM -> BlockOp.DISCARD;
            case Nbd.CMD_WRITE_ZEROES -> BlockOp.WRITE_ZEROES;
            default -> throw new IllegalStateException("command " + type + " was not checked");
        };
    }

    private int blockFlags() {
        if (flags == 0 || type == Nbd.CMD_READ || type == Nbd.CMD_FLUSH) {
            return 0;
        }
        return ((flags & Nbd.CMD_FLAG_FUA) != 0 ? BlockRequest.FUA : 0)
                | ((flags & Nbd.CMD_FLAG_NO_HOLE) != 0 ? BlockRequest.KEEP_ALLOCATED : 0)
                | ((flags & Nbd.CMD_FLAG_FAST_ZERO) != 0 ? BlockRequest.FAST_ONLY : 0);
    }
}

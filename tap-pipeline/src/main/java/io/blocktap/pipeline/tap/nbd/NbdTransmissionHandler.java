package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.codec.nbd.Nbd;
import io.blocktap.pipeline.codec.nbd.NbdExport;
import io.blocktap.pipeline.codec.nbd.NbdReply;
import io.blocktap.pipeline.codec.nbd.NbdRequest;
import io.blocktap.pipeline.codec.nbd.NbdStatus;
import io.blocktap.pipeline.socket.FaultLog;
import io.blocktap.pipeline.socket.ReplyBatch;
import io.blocktap.pipeline.socket.SocketMemory;
import io.blocktap.pipeline.socket.TransmissionHandler;
import io.netty.buffer.ByteBuf;
import java.util.function.BooleanSupplier;

/**
 * The transmission phase of one connection: requests in, replies out ({@code proto.md}, "Transmission phase"; simple replies).
 *
 * <p>Threads: the channel's event loop. In steady state nothing is allocated for a request.
 */
final class NbdTransmissionHandler extends TransmissionHandler {
    private static final ReplyBatch.Layout REPLY = new ReplyBatch.Layout() {
        @Override
        public int bytes() {
            return NbdReply.BYTES;
        }

        @Override
        public void set(ByteBuf target, int index, int errno, long cookie) {
            NbdReply.set(target, index, errno, cookie);
        }
    };

    private final NbdExport export;
    private final NbdRequest header = new NbdRequest();

    /**
     * Makes the handler.
     *
     * @param export what the client was told
     * @param stopping tells whether new requests are to be refused, because the server is going down
     * @param label disk and peer, for logs
     */
    NbdTransmissionHandler(
            NbdExport export,
            NbdLimits limits,
            SocketMemory memory,
            BooleanSupplier stopping,
            String label,
            FaultLog faults) {
        super(NbdRequest.BYTES, REPLY, limits.socket().transmission(), memory, stopping, label, faults);
        this.export = export;
    }

    @Override
    protected boolean readHeader(ByteBuf source, int index) {
        return header.read(source, index);
    }

    @Override
    protected boolean handle(boolean refusing) {
        if (header.type() == Nbd.CMD_DISC) {
            finish();
            return true;
        }
        if (!hasRoomFor(header.dataBytes())) {
            return false;
        }
        int errno = refusing
                ? Nbd.ESHUTDOWN
                : header.check(export, disk().geometry().sizeBytes());
        if (errno != 0 || header.lengthBytes() == 0 && header.type() != Nbd.CMD_FLUSH) {
            answer(errno, header.payloadBytes());
            return true;
        }
        return serve(header.op(), (int) header.dataBytes());
    }

    @Override
    protected void describeTo(BlockRequest request) {
        header.describeTo(request);
    }

    @Override
    protected long cookie() {
        return header.cookie();
    }

    @Override
    protected long range() {
        return header.offsetBytes() | header.lengthBytes();
    }

    @Override
    protected int errno(BlockStatus status, BlockOp op) {
        return NbdStatus.errno(status, op);
    }
}

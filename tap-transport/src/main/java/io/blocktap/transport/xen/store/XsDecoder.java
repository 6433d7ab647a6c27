package io.blocktap.transport.xen.store;

import io.blocktap.transport.TapException;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.codec.DecoderException;
import java.util.List;

/**
 * Bytes into messages, however they are cut: xenstored writes header and payload apart, the device gives what its reader has room for.
 *
 * <p>After a header that can not be right nothing more is decoded: where the next message begins is not known any more.
 */
final class XsDecoder extends ByteToMessageDecoder {
    private boolean broken;

    @Override
    protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) {
        if (broken) {
            in.skipBytes(in.readableBytes());
            return;
        }
        if (in.readableBytes() < XsWire.HEADER_BYTES) {
            return;
        }
        int header = in.readerIndex();
        int lengthBytes = XsWire.lengthBytes(in, header);
        if (lengthBytes < 0 || lengthBytes > XsWire.PAYLOAD_MAX_BYTES) {
            broken = true;
            throw new DecoderException(new TapException("a message that says it has "
                    + Integer.toUnsignedString(lengthBytes) + " bytes (" + XsWire.name(XsWire.type(in, header))
                    + "), at most " + XsWire.PAYLOAD_MAX_BYTES + " are allowed: this is no xenstore"));
        }
        if (in.readableBytes() < XsWire.HEADER_BYTES + lengthBytes) {
            return;
        }
        byte[] payload = new byte[lengthBytes];
        in.getBytes(header + XsWire.HEADER_BYTES, payload);
        out.add(new XsMessage(XsWire.type(in, header), XsWire.reqId(in, header), XsWire.txId(in, header), payload));
        in.skipBytes(XsWire.HEADER_BYTES + lengthBytes);
    }
}

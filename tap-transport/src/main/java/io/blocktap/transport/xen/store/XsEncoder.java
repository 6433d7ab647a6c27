package io.blocktap.transport.xen.store;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandler.Sharable;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.MessageToByteEncoder;

/** Messages into bytes, each in a buffer of its own: the device takes one message a write. */
@Sharable
final class XsEncoder extends MessageToByteEncoder<XsMessage> {
    static final XsEncoder INSTANCE = new XsEncoder();

    private XsEncoder() {
        super(XsMessage.class);
    }

    @Override
    protected ByteBuf allocateBuffer(ChannelHandlerContext ctx, XsMessage message, boolean preferDirect) {
        return ctx.alloc().ioBuffer(XsWire.HEADER_BYTES + message.payload().length);
    }

    @Override
    protected void encode(ChannelHandlerContext ctx, XsMessage message, ByteBuf out) {
        XsWire.write(out, message);
    }
}

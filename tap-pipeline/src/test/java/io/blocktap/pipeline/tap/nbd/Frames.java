package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.codec.nbd.Nbd;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;

/** Frames of a client, for tests. */
final class Frames {
    private final ByteBuf bytes = Unpooled.buffer();

    /**
     * One reply.
     *
     * @param data of a successful READ, else empty
     */
    record Answer(long cookie, int errno, byte[] data) {}

    Frames request(int flags, int type, long cookie, long offset, long length) {
        bytes.writeInt(Nbd.REQUEST_MAGIC)
                .writeShort(flags)
                .writeShort(type)
                .writeLong(cookie)
                .writeLong(offset)
                .writeInt((int) length);
        return this;
    }

    Frames read(long cookie, long offset, long length) {
        return request(0, Nbd.CMD_READ, cookie, offset, length);
    }

    Frames write(long cookie, long offset, byte[] data) {
        request(0, Nbd.CMD_WRITE, cookie, offset, data.length);
        bytes.writeBytes(data);
        return this;
    }

    Frames flush(long cookie) {
        return request(0, Nbd.CMD_FLUSH, cookie, 0, 0);
    }

    Frames disconnect() {
        return request(0, Nbd.CMD_DISC, 0, 0, 0);
    }

    Frames raw(byte[] data) {
        bytes.writeBytes(data);
        return this;
    }

    Frames option(int number, byte[] data) {
        bytes.writeLong(Nbd.IHAVEOPT).writeInt(number).writeInt(data.length).writeBytes(data);
        return this;
    }

    Frames clientFlags(int flags) {
        bytes.writeInt(flags);
        return this;
    }

    /** GO for an export in ASCII, without information requests. */
    Frames go(String name) {
        return option(Nbd.OPT_GO, exportData(name));
    }

    static byte[] exportData(String name) {
        return ByteBufUtil.getBytes(Unpooled.buffer()
                .writeInt(name.length())
                .writeBytes(name.getBytes(java.nio.charset.StandardCharsets.US_ASCII))
                .writeShort(0));
    }

    /** Returns the bytes so far, and begins anew. */
    byte[] take() {
        byte[] taken = new byte[bytes.readableBytes()];
        bytes.readBytes(taken).clear();
        return taken;
    }
}

package io.blocktap.transport.xen.store;

import io.netty.channel.EventLoop;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/** One request: what is sent, what it is about, and who waits for the reply. */
final class XsRequest {
    static final byte[] NOTHING = {0};

    final int type;
    final int txId;
    final String path;
    final byte[] payload;
    final LoopFuture<XsMessage> reply;

    /**
     * Makes a request outside of any transaction or in one.
     *
     * @param txId the transaction, 0 for none
     * @param path what an error is about; empty if about no path
     */
    XsRequest(EventLoop loop, int type, int txId, String path, byte[] payload) {
        this.type = type;
        this.txId = txId;
        this.path = path;
        this.payload = payload;
        this.reply = new LoopFuture<>(loop);
    }

    /** Returns strings as they go over the wire, each with a zero byte behind it. */
    static byte[] strings(Object... strings) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        for (Object each : strings) {
            bytes.writeBytes(each.toString().getBytes(StandardCharsets.UTF_8));
            bytes.write(0);
        }
        return bytes.toByteArray();
    }

    /** Returns a path with a zero byte, and a value without one. */
    static byte[] pathAndValue(XenStorePath path, byte[] value) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.writeBytes(strings(path));
        bytes.writeBytes(value);
        return bytes.toByteArray();
    }

    void refuse(String errorName, String more) {
        reply.completeExceptionally(new XenStoreException(XsWire.name(type), path, errorName, more));
    }

    @Override
    public String toString() {
        return XsWire.name(type) + (path.isEmpty() ? "" : " " + path);
    }
}

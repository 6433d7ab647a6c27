package io.blocktap.transport.xen.store;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Cuts a stream of bytes into messages: they come in parts, or several at once. Threads: one.
 *
 * <p>What comes from xenstored is trusted not to be hostile, but checked all the same: a wrong length would have us wait for ever.
 */
final class XsParser {
    /** Takes a message. */
    interface Handler {
        void message(int type, int requestId, byte[] payload);
    }

    private final Handler handler;
    private final ByteBuffer header = ByteBuffer.allocate(XsWire.HEADER_BYTES).order(ByteOrder.nativeOrder());
    private byte[] payload = new byte[0];
    private int payloadReceived;
    private boolean hasHeader;

    XsParser(Handler handler) {
        this.handler = handler;
    }

    /**
     * Takes all bytes of a buffer, and hands over the messages that are complete.
     *
     * @throws XenStoreException if this is not xenstore's protocol; then no further bytes are of use
     */
    void accept(ByteBuffer bytes) throws XenStoreException {
        while (bytes.hasRemaining()) {
            if (!hasHeader) {
                while (header.hasRemaining() && bytes.hasRemaining()) {
                    header.put(bytes.get());
                }
                if (header.hasRemaining()) {
                    return;
                }
                begin();
            }
            int now = Math.min(payload.length - payloadReceived, bytes.remaining());
            bytes.get(payload, payloadReceived, now);
            payloadReceived += now;
            finish();
        }
    }

    private void begin() throws XenStoreException {
        long length = header.getInt(XsWire.LEN) & 0xffff_ffffL;
        if (length > XsWire.PAYLOAD_MAX) {
            throw new XenStoreException(
                    XenStoreException.CONNECTION,
                    "a message of " + length + " bytes, " + XsWire.PAYLOAD_MAX + " is the most");
        }
        hasHeader = true;
        payload = new byte[(int) length];
        payloadReceived = 0;
        finish(); // it may have no payload
    }

    private void finish() {
        if (hasHeader && payloadReceived == payload.length) {
            hasHeader = false;
            int type = header.getInt(XsWire.TYPE);
            int requestId = header.getInt(XsWire.REQ_ID);
            header.clear();
            handler.message(type, requestId, payload);
        }
    }
}

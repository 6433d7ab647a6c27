package io.blocktap.transport.xen.store;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** One message, either way. The payload is the message's own; nobody changes it. */
final class XsMessage {
    private final int type;
    private final int reqId;
    private final int txId;
    private final byte[] payload;

    XsMessage(int type, int reqId, int txId, byte[] payload) {
        this.type = type;
        this.reqId = reqId;
        this.txId = txId;
        this.payload = payload;
    }

    int type() {
        return type;
    }

    int reqId() {
        return reqId;
    }

    int txId() {
        return txId;
    }

    byte[] payload() {
        return payload;
    }

    /** Returns the payload as text, without the zero byte that ends most replies (and which no value has). */
    String text() {
        int length = payload.length;
        if (length > 0 && payload[length - 1] == 0) {
            length--;
        }
        return new String(payload, 0, length, StandardCharsets.UTF_8);
    }

    /** Returns the strings that the payload consists of, each ended by a zero byte (at the very end it may be missing). */
    List<String> strings() {
        return strings(payload, 0);
    }

    static List<String> strings(byte[] bytes, int from) {
        List<String> strings = new ArrayList<>();
        int start = from;
        for (int i = from; i < bytes.length; i++) {
            if (bytes[i] == 0) {
                strings.add(new String(bytes, start, i - start, StandardCharsets.UTF_8));
                start = i + 1;
            }
        }
        if (start < bytes.length) {
            strings.add(new String(bytes, start, bytes.length - start, StandardCharsets.UTF_8));
        }
        return strings;
    }

    @Override
    public String toString() {
        return XsWire.name(type) + " req_id " + Integer.toUnsignedString(reqId) + " tx_id "
                + Integer.toUnsignedString(txId) + ", " + payload.length + " bytes";
    }
}

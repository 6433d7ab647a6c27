package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.StageException;
import java.net.SocketAddress;
import java.nio.charset.StandardCharsets;

/** Where a server listens. One thread at a time. */
interface NbdEndpoint {
    /** Returns whether it is a unix socket. */
    boolean isUnix();

    /** Refuses what can be bound nowhere, without looking at files or the network. */
    void check() throws StageException;

    /** An address that is free to be bound to, and stays so against other blocktaps until this is closed. */
    interface Claim extends AutoCloseable {
        /** Returns the address. */
        SocketAddress address();

        @Override
        void close();
    }

    /** Makes the address free. May wait. */
    Claim claim() throws StageException;

    /** Takes note of the address that it was bound to. */
    void bound(SocketAddress address) throws StageException;

    /** Makes ready for the closing of the server's channel: what this returns is closed when that is over. May wait a little. */
    Closing closing();

    /** Held while a server's channel closes. */
    interface Closing extends AutoCloseable {
        @Override
        void close();
    }

    /** Returns the NBD URI of an export. */
    String uri(String exportName);

    /** Encodes text for a URI, all but letters, digits and {@code -._~/}. */
    static String percentEncode(String text) {
        StringBuilder encoded = new StringBuilder();
        for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
            char c = (char) (b & 0xff);
            if (c < 0x80 && (Character.isLetterOrDigit(c) || "-._~/".indexOf(c) >= 0)) {
                encoded.append(c);
            } else {
                encoded.append('%')
                        .append(Character.toUpperCase(Character.forDigit(c >> 4, 16)))
                        .append(Character.toUpperCase(Character.forDigit(c & 15, 16)));
            }
        }
        return encoded.toString();
    }
}

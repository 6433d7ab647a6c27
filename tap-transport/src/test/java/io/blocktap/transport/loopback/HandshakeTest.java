package io.blocktap.transport.loopback;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** The messages, to the byte where a frontend relies on it. */
class HandshakeTest {
    @Test
    void cutsALongReasonBetweenTwoCharacters() throws Exception {
        assertThat(Handshake.parseRefused(Handshake.refused("x".repeat(500)))).isEqualTo("x".repeat(400));
        assertThat(Handshake.parseRefused(Handshake.refused("x" + "\u00fc".repeat(300))))
                .isEqualTo("x" + "\u00fc".repeat(199));
        assertThat(Handshake.parseRefused(Handshake.refused("\u00fc".repeat(200))))
                .isEqualTo("\u00fc".repeat(200));
    }

    @Test
    void aReasonOfTheMostBytesFitsAPacket() {
        assertThat(Handshake.refused("x".repeat(1000)).limit()).isLessThanOrEqualTo(512);
    }
}

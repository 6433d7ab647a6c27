package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.socket.SocketLimits;
import java.time.Duration;

/**
 * What one server allows.
 *
 * @param socket what all socket taps bound
 * @param handshakeTime how long a client may haggle
 */
record NbdLimits(SocketLimits socket, Duration handshakeTime) {}

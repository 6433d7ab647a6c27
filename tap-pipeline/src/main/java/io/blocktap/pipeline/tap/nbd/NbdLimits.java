package io.blocktap.pipeline.tap.nbd;

import io.blocktap.pipeline.socket.TransmissionHandler;
import java.time.Duration;

/**
 * What one server allows.
 *
 * @param maxConnections connections at a time
 * @param maxRequests requests in flight on one connection
 * @param maxBytes request data in flight on one connection, in bytes; one larger request may be alone in flight
 * @param handshakeTime how long a client may haggle
 * @param sendTime how long a client may take nothing of its replies, or send nothing more of a WRITE that it has begun
 */
record NbdLimits(int maxConnections, int maxRequests, long maxBytes, Duration handshakeTime, Duration sendTime) {
    TransmissionHandler.Limits forTransmission() {
        return new TransmissionHandler.Limits(maxRequests, maxBytes, sendTime);
    }
}

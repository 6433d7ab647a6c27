/**
 * What taps and terminators on byte-stream sockets share: memory that the socket reads into and writes from, requests in and replies out with
 * back pressure, and channels that fit the event loops. Of protocols it knows only that a frame begins with a header of fixed length.
 *
 * <p>Start at {@link io.blocktap.pipeline.socket.TransmissionHandler}, the server's side of one connection, or {@link io.blocktap.pipeline.socket.SocketServer}, the listening socket and what its connections share. Memory of sockets: {@link
 * io.blocktap.pipeline.socket.SocketMemory}, {@link io.blocktap.pipeline.socket.ReceiveBuffer}, {@link
 * io.blocktap.pipeline.socket.SendBatch}.
 *
 * <p>Threads: everything of a connection runs on its event loop.
 */
@NullMarked
package io.blocktap.pipeline.socket;

import org.jspecify.annotations.NullMarked;

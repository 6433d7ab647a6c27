/**
 * The NBD tap: serves disks to NBD clients over unix sockets and TCP.
 *
 * <p>Start at {@link io.blocktap.pipeline.tap.nbd.NbdTap} (sockets, life and end), then {@code NbdHandshakeHandler} (haggling),
 * which gives way to {@code NbdTransmissionHandler} (requests in, replies out) in front of a {@link
 * io.blocktap.pipeline.ChainHandler}. What it shares with other sockets is in {@code
 * io.blocktap.pipeline.socket}.
 *
 * <p>Threads: everything of a connection runs on its event loop; a connection moves to another loop at most once, between
 * haggling and transmission, when the disk is pinned to that loop.
 */
@NullMarked
package io.blocktap.pipeline.tap.nbd;

import org.jspecify.annotations.NullMarked;

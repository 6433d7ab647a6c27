/**
 * The GNBD tap: serves disks to clients of the cluster suite's network block device, the kernel's and libgnbd.
 *
 * <p>Start at {@link io.blocktap.pipeline.tap.gnbd.GnbdTap} (socket, life and end), then {@code GnbdControlHandler} (one control request a connection), which after a
 * LOGIN gives way to {@code GnbdTransmissionHandler} (data requests) in front of a {@link io.blocktap.pipeline.ChainHandler}. Who may log in, and whose
 * sessions are ended by KILL_GSERV and FENCE, is {@code GnbdSessions}'s.
 *
 * <p>Threads: everything of a connection runs on its event loop; a connection moves to another loop at most once, at its LOGIN, when the
 * disk is pinned to that loop.
 */
@NullMarked
package io.blocktap.pipeline.tap.gnbd;

import org.jspecify.annotations.NullMarked;

/**
 * GNBD, protocol version 2 in the layout of 2004-07-09 and later: messages of the control side and of the data side, as bytes. Nothing of sockets.
 *
 * <p>The facts come from running builds of the original server against clients; recorded conversations are in the tests' resources
 * ({@code io/blocktap/pipeline/tap/gnbd/traces}). All integers are big-endian but those in the records of NAMES.
 *
 * <p>Start at {@link io.blocktap.pipeline.codec.gnbd.Gnbd} (numbers), then {@code GnbdControl} (control requests) and {@code
 * GnbdRequest}, {@code GnbdReply} (data side).
 */
@NullMarked
package io.blocktap.pipeline.codec.gnbd;

import org.jspecify.annotations.NullMarked;

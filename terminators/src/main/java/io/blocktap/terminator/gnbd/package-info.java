/**
 * The terminator {@code gnbd}: a disk of a GNBD server elsewhere.
 *
 * <p>All of it runs on the disk's home loop. {@link io.blocktap.terminator.gnbd.GnbdLink} keeps the requests and the state, {@link
 * io.blocktap.terminator.gnbd.Attempt} connects, {@link io.blocktap.terminator.gnbd.DataConnection} moves requests and replies.
 */
@NullMarked
package io.blocktap.terminator.gnbd;

import org.jspecify.annotations.NullMarked;

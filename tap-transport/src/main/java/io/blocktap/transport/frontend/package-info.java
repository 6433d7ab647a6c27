/**
 * The frontend's end of a ring, for blocktap's own frontends: tests, {@code demo} and {@code bench}.
 *
 * <p>Start at {@link io.blocktap.transport.frontend.FrontChannel} (issues requests, takes responses; each kind of ring adds how it is connected and how the backend is rung),
 * then {@link io.blocktap.transport.frontend.BlockFrontend}, the comfortable client over one. Threads: the channel's event loop; the client can be used from any.
 */
@NullMarked
package io.blocktap.transport.frontend;

import org.jspecify.annotations.NullMarked;

/**
 * Netty channels over rings: a doorbell descriptor on an epoll or io_uring event loop, requests in, responses out.
 *
 * <p>Start at {@link io.blocktap.transport.TapChannel} (one ring of one frontend), {@link io.blocktap.transport.DoorbellChannel} (what makes a
 * descriptor a channel on Netty 4.2's public {@code IoHandle} API) and {@link io.blocktap.transport.FdPoll} (watches any descriptor on an
 * event loop: the {@code attach_poll} of 2005). Each kind of tap has a package of its own below.
 *
 * <p>Threads: a channel and everything of it is confined to its event loop.
 */
@NullMarked
package io.blocktap.transport;

import org.jspecify.annotations.NullMarked;

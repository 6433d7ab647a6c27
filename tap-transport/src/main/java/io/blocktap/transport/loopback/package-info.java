/**
 * The loopback tap: a Xen block ring in a memfd with two eventfds, between blocktap and a frontend in this process or another. No hypervisor, no root.
 *
 * <p>Backend side: {@link io.blocktap.transport.loopback.LoopbackServerChannel} (bound to a {@link
 * io.blocktap.transport.loopback.LoopbackAddress}, a unix socket) accepts {@link io.blocktap.transport.loopback.LoopbackTapChannel}s. Frontend side: {@link
 * io.blocktap.transport.loopback.LoopbackFrontend}. The messages on the socket are in {@code docs/protocols/loopback.md}, the code for them in {@code
 * Handshake}.
 *
 * <p>Trust: a frontend must run under blocktap's own user or as root, because whoever holds an eventfd can make a write to it wait. Everything that it puts into
 * the shared memory is checked as if it came from a guest.
 */
@NullMarked
package io.blocktap.transport.loopback;

import org.jspecify.annotations.NullMarked;

/**
 * The NBD protocol, server side: constants, frames, the decoder of options and of requests, and the encoders of their replies.
 *
 * <p>Nothing here does I/O or keeps memory. Source: the NBD project's {@code doc/proto.md}, "Fixed newstyle negotiation" and
 * "Transmission phase". All integers are big-endian. Start at {@link io.blocktap.pipeline.codec.nbd.Nbd}, then {@link
 * io.blocktap.pipeline.codec.nbd.NbdOptionDecoder} and {@link io.blocktap.pipeline.codec.nbd.NbdRequest}.
 */
@NullMarked
package io.blocktap.pipeline.codec.nbd;

import org.jspecify.annotations.NullMarked;

/**
 * The codec of the Xen block protocol: private copies of ring slots in, requests out; responses back into the ring.
 *
 * <p>Start at {@link io.blocktap.pipeline.codec.blkif.BlkifCodec}. Threads: the channel's event loop. Source: {@code io/blkif.h}; the duties of a secure
 * backend follow XSA-155 and its kin.
 */
@NullMarked
package io.blocktap.pipeline.codec.blkif;

import org.jspecify.annotations.NullMarked;

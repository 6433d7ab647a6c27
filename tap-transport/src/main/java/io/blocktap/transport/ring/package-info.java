/**
 * The shared ring of the Xen block protocol: layouts, and both sides of the index and event protocol. No I/O and no native
 * code: a ring is any direct {@code ByteBuffer}.
 *
 * <p>Start at {@link io.blocktap.transport.ring.BlkifLayout} (where each field lies), then
 * {@link io.blocktap.transport.ring.BackRing} and {@link io.blocktap.transport.ring.FrontRing}. Threads: each side is confined to one thread; the two sides
 * may be different threads or processes. Source: Xen public headers {@code io/ring.h} and {@code io/blkif.h} (Xen 4.17 to
 * 4.21).
 */
@NullMarked
package io.blocktap.transport.ring;

import org.jspecify.annotations.NullMarked;

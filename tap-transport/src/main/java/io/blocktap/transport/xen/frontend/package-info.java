/**
 * A frontend of Xen's block ring in user space: grants its own pages (gntalloc), offers its own event channels, and speaks with the backend through xenstore. For tests and {@code
 * blocktap bench} on a real host, in the domain of the backend.
 *
 * <p>Start at {@link io.blocktap.transport.xen.frontend.XenFrontend}; {@link io.blocktap.transport.xen.frontend.XenDeviceNodes} is its part in xenstore, and the toolstack's.
 * Threads: one event loop each. Source: Xen {@code io/blkif.h} and {@code io/xenbus.h}.
 */
@NullMarked
package io.blocktap.transport.xen.frontend;

import org.jspecify.annotations.NullMarked;

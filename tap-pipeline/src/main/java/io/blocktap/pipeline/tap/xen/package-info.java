/**
 * The Xen tap: serves the virtual disks of guests on a stock Xen host, as a backend that the toolstack or an operator names in xenstore. Start at {@link
 * io.blocktap.pipeline.tap.xen.XenTap}; {@link io.blocktap.pipeline.tap.xen.XenbusPlan} is the protocol of the two sides' states.
 *
 * <p>Sources: Xen {@code io/blkif.h}, {@code io/xenbus.h}.
 */
@NullMarked
package io.blocktap.pipeline.tap.xen;

import org.jspecify.annotations.NullMarked;

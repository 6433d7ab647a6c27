/**
 * The toolstack's part of Xen disks, for hosts whose xl can not do it: makes and removes a device's nodes in xenstore, and reads what is there. A server ({@code
 * pipeline.tap.xen}) sees no difference to xl. Start with {@link io.blocktap.launcher.xen.XenToolstack}.
 *
 * <p>Spec: Xen {@code io/xenbus.h}, {@code io/blkif.h} and {@code docs/man/xen-vbd-interface}. Threads: a command's own, which waits; xenstore has an event loop.
 */
@NullMarked
package io.blocktap.launcher.xen;

import org.jspecify.annotations.NullMarked;

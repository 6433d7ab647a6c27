/**
 * A client of xenstore, the small tree of names and values through which Xen's domains find each other. Start at {@link
 * io.blocktap.transport.xen.store.XenStore}.
 *
 * <p>Everything is confined to one event loop and never waits. Sources: Xen {@code io/xs_wire.h}, {@code docs/misc/xenstore.txt}; Linux {@code
 * drivers/xen/xenbus/xenbus_dev_frontend.c}.
 */
@NullMarked
package io.blocktap.transport.xen.store;

import org.jspecify.annotations.NullMarked;

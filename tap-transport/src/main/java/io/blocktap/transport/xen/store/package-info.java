/**
 * A xenstore client on Netty: xenstored's unix socket, or the device {@code /dev/xen/xenbus} where xenstored runs elsewhere.
 *
 * <p>Start at {@link io.blocktap.transport.xen.store.XenStore} (connect, watches, transactions), then {@code XsConnection} (matches replies with requests) and
 * {@code XsDecoder} (bytes into messages). {@code XenBusChannel} makes the device a Netty channel, so that everything above it is the same for both.
 *
 * <p>Threads: one connection, its watches and its transactions are confined to one event loop; {@code XenStore} may be called from any thread.
 *
 * <p>Sources: Xen's {@code xen/include/public/io/xs_wire.h} (wire format, errors, limits) and {@code docs/misc/xenstore.txt} (operations, watches,
 * transactions); Linux's {@code drivers/xen/xenbus/xenbus_dev_frontend.c} (the device).
 */
@NullMarked
package io.blocktap.transport.xen.store;

import org.jspecify.annotations.NullMarked;

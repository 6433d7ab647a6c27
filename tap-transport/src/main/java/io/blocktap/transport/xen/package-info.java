/**
 * The devices through which a Linux program serves Xen guests: event channels, mapped grants, grant copies; and grants of our own for a
 * frontend in user space.
 *
 * <p>Start at {@link io.blocktap.transport.xen.EventChannels} (the doorbells of all rings of an event loop, over one descriptor), then
 * {@link io.blocktap.transport.xen.GrantDevice} (ring pages of a guest in our memory) and {@link io.blocktap.transport.xen.GrantCopy} (the data path).
 * {@link io.blocktap.transport.xen.XenDevices} opens the devices, and tells a person what is missing.
 *
 * <p>Threads: each object says; what is used for every request is confined to one event loop. Sources: Linux uapi headers {@code xen/evtchn.h}, {@code
 * xen/gntdev.h}, {@code xen/gntalloc.h}, and the drivers behind them ({@code drivers/xen/evtchn.c}, {@code gntdev.c}, {@code gntalloc.c}; Linux 6.12).
 */
@NullMarked
package io.blocktap.transport.xen;

import org.jspecify.annotations.NullMarked;

/**
 * Memory that is shared with a frontend or handed to the kernel: mappings, buffers over them, and slabs of page-aligned buffers.
 *
 * <p>Start at {@link io.blocktap.transport.memory.MappedRegion} (owns a mapping and counts its users), then
 * {@link io.blocktap.transport.memory.RegionBuf} (a {@code ByteBuf} over a part of one, which can be pointed elsewhere, so that a
 * request needs no new buffer object) and {@link io.blocktap.transport.memory.SlabAllocator}.
 */
@NullMarked
package io.blocktap.transport.memory;

import org.jspecify.annotations.NullMarked;

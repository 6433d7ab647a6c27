package io.blocktap.pipeline.testkit;

import io.blocktap.transport.memory.SlabAllocator;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.CompositeByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.buffer.Unpooled;

/** The kinds of memory that taps give requests: a stage has to work with all of them. */
public enum BufferKind {
    /** Page-aligned memory of the stream, as most taps use. */
    SLAB {
        @Override
        ByteBuf allocate(SlabAllocator memory, int lengthBytes) {
            ByteBuf buffer = lengthBytes == 0 ? Unpooled.EMPTY_BUFFER : memory.tryAllocate(lengthBytes);
            if (buffer == null) {
                throw new IllegalStateException("the test has more in flight than the budget allows");
            }
            return buffer;
        }
    },
    /** Pooled direct memory. */
    POOLED {
        @Override
        ByteBuf allocate(SlabAllocator memory, int lengthBytes) {
            return PooledByteBufAllocator.DEFAULT.directBuffer(lengthBytes, lengthBytes);
        }
    },
    /** An array. */
    HEAP {
        @Override
        ByteBuf allocate(SlabAllocator memory, int lengthBytes) {
            return Unpooled.buffer(lengthBytes, lengthBytes);
        }
    },
    /** A part of a larger buffer, at an odd address. */
    SLICE {
        @Override
        ByteBuf allocate(SlabAllocator memory, int lengthBytes) {
            ByteBuf whole = PooledByteBufAllocator.DEFAULT.directBuffer(lengthBytes + 10, lengthBytes + 10);
            ByteBuf slice = whole.retainedSlice(7, lengthBytes);
            whole.release();
            return slice;
        }
    },
    /** Two pieces, of the slab and of an array. */
    COMPOSITE {
        @Override
        ByteBuf allocate(SlabAllocator memory, int lengthBytes) {
            int first = lengthBytes / 3;
            if (first == 0) {
                return HEAP.allocate(memory, lengthBytes);
            }
            CompositeByteBuf composite = Unpooled.compositeBuffer(2);
            ByteBuf head = SLAB.allocate(memory, first);
            ByteBuf tail = HEAP.allocate(memory, lengthBytes - first);
            composite.addComponent(true, head.writerIndex(first));
            composite.addComponent(true, tail.writerIndex(lengthBytes - first));
            return composite.setIndex(0, 0);
        }
    };

    /** Makes a buffer of exactly this capacity, indexes 0. On the allocator's event loop. */
    abstract ByteBuf allocate(SlabAllocator memory, int lengthBytes);
}

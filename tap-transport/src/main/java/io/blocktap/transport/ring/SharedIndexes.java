package io.blocktap.transport.ring;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Ordered access to the four 32-bit indexes at the head of a ring. The ring must start at a multiple of 4. */
final class SharedIndexes {
    private static final VarHandle INT = MethodHandles.byteBufferViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);

    private SharedIndexes() {}

    static int getAcquire(ByteBuffer ring, int offset) {
        return (int) INT.getAcquire(ring, offset);
    }

    static void setRelease(ByteBuffer ring, int offset, int value) {
        INT.setRelease(ring, offset, value);
    }
}

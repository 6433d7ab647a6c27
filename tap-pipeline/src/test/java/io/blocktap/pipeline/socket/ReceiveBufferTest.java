package io.blocktap.pipeline.socket;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.transport.memory.RegionBuf;
import io.netty.buffer.ByteBuf;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What a connection does while a read is under way, as with io_uring. */
final class ReceiveBufferTest {
    private final SocketMemory memory = new SocketMemory();
    private final ReceiveBuffer buffer = new ReceiveBuffer(memory);

    @AfterEach
    void nothingIsLeft() {
        buffer.close();
        assertThat(memory.chunksInUse()).isZero();
        memory.close();
    }

    @Test
    void keepsTheMemoryThatAReadIsUnderWayInto() {
        ByteBuf window = buffer.openWindow(16, Integer.MAX_VALUE);
        buffer.trim();
        window.writeLong(0x0123456789abcdefL);

        assertThat(buffer.receive()).isEqualTo(8);
        assertThat(buffer.readable()).isEqualTo(8);
        assertThat(buffer.bytes().getLong(buffer.readIndex())).isEqualTo(0x0123456789abcdefL);
    }

    @Test
    void givesItBackWhenTheReadHasBroughtNothing() {
        buffer.openWindow(16, Integer.MAX_VALUE).release();
        buffer.trim();

        assertThat(memory.chunksInUse()).isZero();
    }

    @Test
    void givesItBackAtTheEndEvenIfAReadIsUnderWay() {
        RegionBuf window = buffer.openWindow(16, Integer.MAX_VALUE);
        buffer.close();
        assertThat(memory.chunksInUse()).as("until the read has ended").isEqualTo(1);

        window.release();

        assertThat(memory.chunksInUse()).isZero();
    }

    @Test
    void knowsWhereAReadGoesThatWasBegunBefore() {
        SocketMemory.Chunk data = memory.takeChunk(new SocketMemory.Account(), 4096);
        ByteBuf ofConnection = buffer.openWindow(16, Integer.MAX_VALUE);
        assertThat(buffer.isOverData()).isFalse();
        ofConnection.release();

        ByteBuf ofRequest = buffer.openWindow(data.memory(), 100, 8);
        assertThat(buffer.isOverData()).isTrue();
        ofRequest.writeLong(7);
        assertThat(buffer.receive()).isEqualTo(8);

        assertThat(buffer.isOverData()).isFalse();
        assertThat(buffer.readable()).isZero();
        assertThat(data.memory().getLong(100)).isEqualTo(7);
        data.leave();
    }
}

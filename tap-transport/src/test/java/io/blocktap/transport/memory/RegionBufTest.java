package io.blocktap.transport.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import io.blocktap.transport.sys.NativeException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.util.IllegalReferenceCountException;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A {@code RegionBuf} does what Netty's own buffers do, and never leaves its window. */
class RegionBufTest {
    private static final int WINDOW = 1000;
    private static final int OFFSET = 3001; // not aligned

    private MappedRegion region;
    private MappedRegion otherRegion;
    private RegionBuf buffer;

    @BeforeEach
    void map() throws NativeException {
        region = MappedRegion.anonymous(8192);
        otherRegion = MappedRegion.anonymous(4096);
        buffer = new RegionBuf(region, OFFSET, WINDOW);
    }

    @AfterEach
    void unmap() {
        region.release();
        otherRegion.release();
    }

    // ---- against an oracle

    @Test
    void doesWhatAnUnpooledBufferDoes() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        ByteBuf oracle = Unpooled.buffer(WINDOW, WINDOW).setZero(0, WINDOW);
        for (int step = 0; step < 20_000; step++) {
            int operation = random.nextInt(OPERATIONS);
            int index = random.nextInt(WINDOW + 20) - 10;
            long value = random.nextLong();
            int length = random.nextInt(random.nextBoolean() ? 40 : WINDOW);
            String what = "seed " + seed + ", step " + step + ", operation " + operation + " at " + index;

            byte[] before = all(buffer);
            Object expected = outcome(oracle, operation, index, value, length);
            Object actual = outcome(buffer, operation, index, value, length);

            assertThat(actual).as(what).isEqualTo(expected);
            if (actual.equals("out of bounds")) {
                assertThat(java.util.Arrays.equals(all(buffer), before))
                        .as(what)
                        .isTrue();
                oracle.setBytes(0, before); // some of Netty's own write what fits before they refuse
            }
        }
        assertThat(all(buffer)).as("seed %d", seed).isEqualTo(all(oracle));
        assertThat(region.view().get(OFFSET - 1)).isZero();
        assertThat(region.view().get(OFFSET + WINDOW)).isZero();
        oracle.release();
    }

    private static byte[] all(ByteBuf buf) {
        byte[] bytes = new byte[WINDOW];
        buf.getBytes(0, bytes);
        return bytes;
    }

    private static Object outcome(ByteBuf buf, int operation, int index, long value, int length) {
        try {
            return apply(buf, operation, index, value, length);
        } catch (IndexOutOfBoundsException e) {
            return "out of bounds";
        }
    }

    private static final int OPERATIONS = 34;

    private static Object apply(ByteBuf buf, int operation, int index, long value, int length) {
        return switch (operation) {
            case 0 -> buf.getByte(index);
            case 1 -> buf.getShort(index);
            case 2 -> buf.getShortLE(index);
            case 3 -> buf.getUnsignedMedium(index);
            case 4 -> buf.getUnsignedMediumLE(index);
            case 5 -> buf.getInt(index);
            case 6 -> buf.getIntLE(index);
            case 7 -> buf.getLong(index);
            case 8 -> buf.getLongLE(index);
            case 9 -> done(buf.setByte(index, (int) value));
            case 10 -> done(buf.setShort(index, (int) value));
            case 11 -> done(buf.setShortLE(index, (int) value));
            case 12 -> done(buf.setMedium(index, (int) value));
            case 13 -> done(buf.setMediumLE(index, (int) value));
            case 14 -> done(buf.setInt(index, (int) value));
            case 15 -> done(buf.setIntLE(index, (int) value));
            case 16 -> done(buf.setLong(index, value));
            case 17 -> done(buf.setLongLE(index, value));
            case 18 -> done(buf.setZero(index, length));
            case 19 -> done(buf.setBytes(index, bytes(value, length)));
            case 20 -> done(buf.setBytes(index, ByteBuffer.wrap(bytes(value, length))));
            case 21 -> done(buf.setBytes(index, Unpooled.wrappedBuffer(bytes(value, length))));
            case 22 -> got(buf, index, new byte[length]);
            case 23 -> done(buf.setDouble(index, value));
            case 24 -> buf.getMedium(index);
            case 25 -> done(buf.setIndex(Math.max(0, index / 2), Math.max(0, index)));
            case 26 -> done(buf.writeLong(value));
            case 27 -> buf.readInt();
            case 28 -> done(buf.writeBytes(bytes(value, length)));
            case 29 -> buf.readCharSequence(length, StandardCharsets.ISO_8859_1).toString();
            case 30 -> buf.indexOf(0, WINDOW, (byte) value);
            case 31 -> buf.toString(index, length, StandardCharsets.ISO_8859_1);
            case 32 -> done(buf.writeZero(length));
            case 33 ->
                buf.readerIndex() + "," + buf.writerIndex() + "," + buf.writableBytes() + "," + buf.maxWritableBytes()
                        + "," + buf.capacity();
            default -> throw new AssertionError(operation);
        };
    }

    private static Object done(ByteBuf ignored) {
        return "done";
    }

    private static Object got(ByteBuf buf, int index, byte[] target) {
        buf.getBytes(index, target);
        return new String(target, StandardCharsets.ISO_8859_1);
    }

    private static byte[] bytes(long value, int length) {
        byte[] bytes = new byte[length];
        new Random(value).nextBytes(bytes);
        return bytes;
    }

    // ---- bulk transfers

    @Test
    void copiesToAndFromOtherKindsOfBuffers() {
        byte[] content = bytes(1, 100);
        buffer.setBytes(10, content);
        RegionBuf other = new RegionBuf(otherRegion, 7, 500);
        for (ByteBuf peer : new ByteBuf[] {
            other,
            Unpooled.buffer(500, 500),
            Unpooled.directBuffer(500, 500),
            Unpooled.buffer(500, 500).writeZero(500).slice(),
            Unpooled.compositeBuffer()
                    .addComponent(true, Unpooled.directBuffer(500, 500).writeZero(250))
                    .addComponent(true, Unpooled.buffer(250).writeZero(250)),
            other.slice(0, 400),
        }) {
            buffer.getBytes(10, peer, 200, 100);
            assertThat(slice(peer, 200, 100)).as("%s", peer).isEqualTo(content);

            peer.setBytes(20, buffer, 10, 100);
            assertThat(slice(peer, 20, 100)).as("%s", peer).isEqualTo(content);

            buffer.setZero(300, 200);
            buffer.setBytes(300, peer, 20, 100);
            assertThat(slice(buffer, 300, 100)).as("%s", peer).isEqualTo(content);

            buffer.setZero(300, 200);
            peer.getBytes(20, buffer, 300, 100);
            assertThat(slice(buffer, 300, 100)).as("%s", peer).isEqualTo(content);
            peer.setZero(0, 400);
            if (!(peer instanceof RegionBuf) && peer.unwrap() != other) {
                peer.release();
            }
        }
    }

    private static byte[] slice(ByteBuf buf, int index, int length) {
        byte[] bytes = new byte[length];
        buf.getBytes(index, bytes);
        return bytes;
    }

    @Test
    void copiesWithinItself() {
        byte[] content = bytes(2, 300);
        buffer.setBytes(0, content);

        buffer.setBytes(100, buffer, 0, 300); // overlapping
        assertThat(slice(buffer, 100, 300)).isEqualTo(content);

        buffer.setBytes(50, buffer.slice(100, 300), 0, 300);
        assertThat(slice(buffer, 50, 300)).isEqualTo(content);

        buffer.duplicate().getBytes(50, buffer, 400, 300);
        assertThat(slice(buffer, 400, 300)).isEqualTo(content);

        buffer.getBytes(400, buffer.slice(600, 300), 0, 300);
        assertThat(slice(buffer, 600, 300)).isEqualTo(content);
    }

    @Test
    void copiesToAndFromNioBuffers() {
        byte[] content = bytes(3, 64);
        ByteBuffer source =
                ByteBuffer.allocateDirect(100).put(10, content).position(10).limit(74);
        ByteBuffer target = ByteBuffer.allocate(100).position(20).limit(84);

        buffer.setBytes(5, source);
        buffer.getBytes(5, target);

        assertThat(source.position()).isEqualTo(74);
        assertThat(target.position()).isEqualTo(84);
        byte[] copied = new byte[64];
        target.get(20, copied);
        assertThat(copied).isEqualTo(content);
    }

    @Test
    void copiesToAndFromStreamsAndChannels(@TempDir Path folder) throws IOException {
        byte[] content = bytes(4, 200);
        buffer.setBytes(0, new ByteArrayInputStream(content), 200);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        buffer.getBytes(0, out, 200);
        assertThat(out.toByteArray()).isEqualTo(content);
        assertThat(buffer.setBytes(0, new ByteArrayInputStream(new byte[0]), 10))
                .isEqualTo(-1);

        Path file = folder.resolve("file");
        try (FileChannel channel =
                FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            assertThat(buffer.getBytes(0, channel, 50, 200)).isEqualTo(200);
            assertThat(buffer.getBytes(0, channel.position(300), 200)).isEqualTo(200);
            assertThat(buffer.setBytes(400, channel, 50, 200)).isEqualTo(200);
            assertThat(buffer.setBytes(700, channel.position(300), 200)).isEqualTo(200);
        }

        assertThat(slice(buffer, 400, 200)).isEqualTo(content);
        assertThat(slice(buffer, 700, 200)).isEqualTo(content);
        assertThat(Files.size(file)).isEqualTo(500);
    }

    @Test
    void refusesTransfersOutOfBounds() {
        RegionBuf other = new RegionBuf(otherRegion, 0, 50);
        ByteBuf heap = Unpooled.buffer(50, 50);
        // The region goes on behind the window, so that only the buffer's own check can refuse.
        assertThatThrownBy(() -> buffer.getBytes(WINDOW - 10, other, 0, 11))
                .isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.getBytes(0, other, 40, 11)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.setBytes(WINDOW - 10, other, 0, 11))
                .isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.setBytes(0, other, 40, 11)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.setBytes(0, other, -1, 1)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.getBytes(-1, heap, 0, 1)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.setBytes(WINDOW, heap, 0, 1)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.setBytes(WINDOW - 3, ByteBuffer.allocate(4)))
                .isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.getBytes(WINDOW - 3, ByteBuffer.allocate(4)))
                .isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.getBytes(WINDOW - 3, new byte[4]))
                .isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.nioBuffer(WINDOW - 3, 4)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.internalNioBuffer(-1, 4)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.copy(WINDOW - 3, 4)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.getLong(WINDOW - 7)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.setZero(1, WINDOW)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.writerIndex(WINDOW).writeByte(1)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.capacity(WINDOW + 1)).isInstanceOf(UnsupportedOperationException.class);
        heap.release();
    }

    @Test
    void refusesReleasedPeer() {
        RegionBuf other = new RegionBuf(otherRegion, 0, 50);
        other.release();

        assertThatThrownBy(() -> buffer.getBytes(0, other, 0, 10)).isInstanceOf(IllegalReferenceCountException.class);
        assertThatThrownBy(() -> buffer.setBytes(0, other, 0, 10)).isInstanceOf(IllegalReferenceCountException.class);
        assertThatThrownBy(() -> other.getByte(0)).isInstanceOf(IllegalReferenceCountException.class);
    }

    // ---- the window

    // ---- references

    @Test
    void lastReleaseOfManyReferencesEndsIt() {
        buffer.retain().retain(3);
        assertThat(buffer.refCnt()).isEqualTo(5);
        assertThat(buffer.release(2)).isFalse();
        assertThat(buffer.release()).isFalse();
        assertThat(buffer.release(2)).isTrue();
        assertThat(buffer.refCnt()).isZero();
    }

    @Test
    void refusesReferencesThatAreNotThere() {
        assertThatThrownBy(() -> buffer.release(2)).isInstanceOf(IllegalReferenceCountException.class);
        assertThatThrownBy(() -> buffer.release(0)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> buffer.retain(-1)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> buffer.retain(Integer.MAX_VALUE)).isInstanceOf(IllegalReferenceCountException.class);
        assertThat(buffer.refCnt()).isEqualTo(1);
        buffer.release();
        assertThatThrownBy(buffer::release).isInstanceOf(IllegalReferenceCountException.class);
        assertThatThrownBy(buffer::retain).isInstanceOf(IllegalReferenceCountException.class);
    }

    @Test
    void countsReferencesOfManyThreadsRight() throws Exception {
        int threads = 4;
        int rounds = 50_000;
        AtomicInteger ends = new AtomicInteger();
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try {
            List<Future<?>> parts = new ArrayList<>();
            for (int i = 0; i < threads; i++) {
                buffer.retain();
                parts.add(pool.submit(() -> {
                    for (int round = 0; round < rounds; round++) {
                        buffer.retain();
                        if (buffer.release()) {
                            ends.incrementAndGet();
                        }
                    }
                    if (buffer.release()) {
                        ends.incrementAndGet();
                    }
                }));
            }
            for (Future<?> part : parts) {
                part.get();
            }
        } finally {
            pool.shutdown();
        }
        assertThat(ends).hasValue(0);
        assertThat(buffer.release()).isTrue();
    }

    @Test
    void pointsElsewhere() {
        buffer.setLong(0, 1).writerIndex(8).readerIndex(4);
        otherRegion.view().put(100, (byte) 42);

        buffer.pointTo(otherRegion, 100, 10);

        assertThat(buffer.capacity()).isEqualTo(10);
        assertThat(buffer.maxCapacity()).isEqualTo(10);
        assertThat(buffer.readerIndex()).isZero();
        assertThat(buffer.writerIndex()).isZero();
        assertThat(buffer.memoryAddress()).isEqualTo(otherRegion.address() + 100);
        assertThat(buffer.getByte(0)).isEqualTo((byte) 42);
        assertThat(buffer.internalNioBuffer(0, 10).get()).isEqualTo((byte) 42);
        assertThatThrownBy(() -> buffer.getByte(10)).isInstanceOf(IndexOutOfBoundsException.class);

        buffer.pointTo(region, OFFSET, WINDOW);
        assertThat(buffer.getLong(0)).isOne();
        assertThat(buffer.internalNioBuffer(0, 8).getLong()).isOne();
    }

    @Test
    void pointsNowhere() {
        buffer.writerIndex(10);
        buffer.pointNowhere();

        assertThat(buffer.capacity()).isZero();
        assertThat(buffer.memoryAddress()).isZero();
        assertThat(buffer.writerIndex()).isZero();
        assertThatThrownBy(() -> buffer.getByte(0)).isInstanceOf(IndexOutOfBoundsException.class);
    }

    @Test
    void refusesWindowOutsideRegion() {
        assertThatThrownBy(() -> buffer.pointTo(region, 8000, 193)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.pointTo(region, -1, 10)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> buffer.pointTo(region, Integer.MAX_VALUE, 10))
                .isInstanceOf(IndexOutOfBoundsException.class);
    }

    @Test
    void viewsAreBigEndianAsNettysOwn() {
        buffer.setLong(0, 0x0102030405060708L);

        assertThat(buffer.nioBuffer(0, 8).getLong()).isEqualTo(0x0102030405060708L);
        assertThat(buffer.internalNioBuffer(0, 8).getLong()).isEqualTo(0x0102030405060708L);
        assertThat(buffer.nioBuffers(0, 8)[0].getLong()).isEqualTo(0x0102030405060708L);
        assertThat(buffer.nioBufferCount()).isOne();
        assertThat(buffer.isContiguous()).isTrue();
        ByteBuf copy = buffer.copy(0, 8);
        assertThat(copy.getLong(0)).isEqualTo(0x0102030405060708L);
        copy.release();
    }

    @Test
    void fillsWholeWindowWithZeroes() throws NativeException {
        MappedRegion large = MappedRegion.anonymous(300_000);
        RegionBuf whole = new RegionBuf(large, 1, 299_000);
        for (int i = 0; i < 300_000; i++) {
            large.view().put(i, (byte) 1);
        }

        whole.fillZero();

        assertThat(large.view().get(0)).isOne();
        assertThat(large.view().get(299_001)).isOne();
        assertThat(whole.forEachByte(0, 299_000, value -> value == 0)).isEqualTo(-1);
        large.release();
    }

    @Test
    void allocatesNothingWhenUsedAgainAndAgain() {
        ByteBuf heap = Unpooled.buffer(4096, 4096);
        RegionBuf other = new RegionBuf(otherRegion, 0, 4096);
        ByteBuffer direct = ByteBuffer.allocateDirect(512);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        for (int i = 0; i < 20_000; i++) {
            useOnce(i, heap, other, direct);
        }

        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 20_000; i++) {
            useOnce(i, heap, other, direct);
        }
        long allocated = threads.getCurrentThreadAllocatedBytes() - before;

        assertThat(allocated).isLessThan(20_000); // less than a byte a round: the measurement itself
        heap.release();
    }

    private void useOnce(int i, ByteBuf heap, RegionBuf other, ByteBuffer direct) {
        buffer.pointTo(region, i & 4095, 4096);
        buffer.setLong(8, i).setIntLE(16, i);
        buffer.setBytes(0, heap, 0, 512).getBytes(0, heap, 0, 512);
        buffer.setBytes(0, other, 0, 512).getBytes(0, other, 0, 512);
        buffer.setBytes(0, direct.clear()).getBytes(0, direct.clear());
        buffer.fillZero();
    }
}

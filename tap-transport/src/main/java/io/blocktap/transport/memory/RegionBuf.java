package io.blocktap.transport.memory;

import io.netty.buffer.AbstractByteBuf;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.netty.buffer.UnpooledByteBufAllocator;
import io.netty.util.IllegalReferenceCountException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.GatheringByteChannel;
import java.nio.channels.ScatteringByteChannel;

/**
 * A {@link ByteBuf} of fixed capacity over a window of foreign memory, which can be pointed at another window.
 *
 * <p>Pointing it elsewhere ({@link #pointTo}) allocates nothing, so one object serves any number of requests, one after another. It
 * has a memory address, so Netty's native transports and system calls use it without a copy, and it needs no {@code Unsafe}. All accesses are
 * bounds-checked against the window.
 *
 * <p>Ownership: the memory belongs to the {@link MappedRegion}; this object holds no reference of it. Whoever owns the object
 * decides what happens at its last {@code release()} ({@link #onRelease}).
 *
 * <p><b>Reference counting</b> is Netty's contract with one short cut, worth its place because a locked instruction after a filled page waits for all
 * of the page's stores: who holds the only reference is alone, so its release is a load and a store. Two threads that both release
 * one last reference, a bug already, are therefore not always told.
 *
 * <p>Threads: as any {@code ByteBuf}, one at a time; references may be counted by any thread.
 */
public class RegionBuf extends AbstractByteBuf {
    private static final VarHandle REFERENCES;

    static {
        try {
            REFERENCES = MethodHandles.lookup().findVarHandle(RegionBuf.class, "references", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private static final ByteBuffer NONE = ByteBuffer.allocateDirect(0);
    private static final ByteBuffer ZEROES = ByteBuffer.allocateDirect(64 << 10).order(ByteOrder.nativeOrder());

    private ByteBuffer region = NONE;
    private ByteBuffer scratch = NONE;
    private long regionAddress;
    private int base;
    private int length;
    private volatile int references = 1;

    /** Makes a buffer that points nowhere and has capacity 0. */
    public RegionBuf() {
        super(0);
    }

    /** Makes a buffer over a window of a region; see {@link #pointTo}. */
    public RegionBuf(MappedRegion region, int offsetBytes, int lengthBytes) {
        this();
        pointTo(region, offsetBytes, lengthBytes);
    }

    /**
     * Points the buffer at another window, empty for writing: reader and writer index 0.
     *
     * @param region the memory, which must stay mapped while the buffer is used
     * @throws IndexOutOfBoundsException if the window does not lie inside the region
     */
    public final void pointTo(MappedRegion region, int offsetBytes, int lengthBytes) {
        java.util.Objects.checkFromIndexSize(offsetBytes, lengthBytes, region.sizeBytes());
        if (this.region != region.view()) {
            this.region = region.view();
            this.scratch = NONE;
            this.regionAddress = region.address();
        }
        this.base = offsetBytes;
        this.length = lengthBytes;
        maxCapacity(lengthBytes);
        setIndex(0, 0);
    }

    /**
     * Points the buffer at a part of another one's window; see {@link #pointTo(MappedRegion, int, int)}.
     *
     * @param outer must not be pointed elsewhere or released while this buffer is used
     * @throws IndexOutOfBoundsException if the part does not lie inside the other's window
     */
    public final void pointTo(RegionBuf outer, int index, int lengthBytes) {
        java.util.Objects.checkFromIndexSize(index, lengthBytes, outer.length);
        if (this.region != outer.region) {
            this.region = outer.region;
            this.scratch = NONE;
            this.regionAddress = outer.regionAddress;
        }
        this.base = outer.base + index;
        this.length = lengthBytes;
        setIndex(0, 0);
    }

    /** Forgets the memory; the capacity is 0 until it is pointed somewhere again. */
    public final void pointNowhere() {
        region = NONE;
        scratch = NONE;
        regionAddress = 0;
        base = 0;
        length = 0;
        maxCapacity(0);
        setIndex(0, 0);
    }

    /** Makes the buffer usable again after its last release, with one reference. For its owner only. */
    protected final void revive() {
        REFERENCES.setRelease(this, 1);
    }

    /** Called at the last release. Does nothing here: the owner points the object elsewhere or drops it. */
    protected void onRelease() {}

    // ---- references

    @Override
    public final int refCnt() {
        return references;
    }

    @Override
    public final ByteBuf retain() {
        return retain(1);
    }

    @Override
    public final ByteBuf retain(int increment) {
        if (increment <= 0) {
            throw new IllegalArgumentException("increment: " + increment);
        }
        int count;
        do {
            count = references;
            if (count <= 0 || count + increment < 0) {
                throw new IllegalReferenceCountException(count, increment);
            }
        } while (!REFERENCES.compareAndSet(this, count, count + increment));
        return this;
    }

    @Override
    public final boolean release() {
        return release(1);
    }

    @Override
    public final boolean release(int decrement) {
        if (decrement <= 0) {
            throw new IllegalArgumentException("decrement: " + decrement);
        }
        int count;
        do {
            count = references;
            if (count < decrement) {
                throw new IllegalReferenceCountException(count, -decrement);
            }
            if (count == decrement) {
                REFERENCES.setRelease(this, 0);
                onRelease();
                return true;
            }
        } while (!REFERENCES.compareAndSet(this, count, count - decrement));
        return false;
    }

    @Override
    public final ByteBuf touch() {
        return this;
    }

    @Override
    public final ByteBuf touch(Object hint) {
        return this;
    }

    /** Sets all bytes of the window to zero, whatever the indexes are. */
    public final void fillZero() {
        setZero(0, length);
    }

    /** One bulk copy of zeroes where the inherited method stores eight bytes at a time. */
    @Override
    public ByteBuf setZero(int index, int lengthBytes) {
        checkIndex(index, lengthBytes);
        for (int done = 0; done < lengthBytes; done += ZEROES.capacity()) {
            region.put(at(index + done), ZEROES, 0, Math.min(ZEROES.capacity(), lengthBytes - done));
        }
        return this;
    }

    private int at(int index) {
        return base + index;
    }

    @Override
    protected byte _getByte(int index) {
        return region.get(at(index));
    }

    @Override
    protected short _getShort(int index) {
        return Short.reverseBytes(_getShortLE(index));
    }

    @Override
    protected short _getShortLE(int index) {
        return little(region.getShort(at(index)));
    }

    @Override
    protected int _getUnsignedMedium(int index) {
        return (_getByte(index) & 0xff) << 16 | (_getByte(index + 1) & 0xff) << 8 | _getByte(index + 2) & 0xff;
    }

    @Override
    protected int _getUnsignedMediumLE(int index) {
        return _getByte(index) & 0xff | (_getByte(index + 1) & 0xff) << 8 | (_getByte(index + 2) & 0xff) << 16;
    }

    @Override
    protected int _getInt(int index) {
        return Integer.reverseBytes(_getIntLE(index));
    }

    @Override
    protected int _getIntLE(int index) {
        return little(region.getInt(at(index)));
    }

    @Override
    protected long _getLong(int index) {
        return Long.reverseBytes(_getLongLE(index));
    }

    @Override
    protected long _getLongLE(int index) {
        return little(region.getLong(at(index)));
    }

    @Override
    protected void _setByte(int index, int value) {
        region.put(at(index), (byte) value);
    }

    @Override
    protected void _setShort(int index, int value) {
        _setShortLE(index, Short.reverseBytes((short) value));
    }

    @Override
    protected void _setShortLE(int index, int value) {
        region.putShort(at(index), little((short) value));
    }

    @Override
    protected void _setMedium(int index, int value) {
        _setByte(index, value >>> 16);
        _setByte(index + 1, value >>> 8);
        _setByte(index + 2, value);
    }

    @Override
    protected void _setMediumLE(int index, int value) {
        _setByte(index, value);
        _setByte(index + 1, value >>> 8);
        _setByte(index + 2, value >>> 16);
    }

    @Override
    protected void _setInt(int index, int value) {
        _setIntLE(index, Integer.reverseBytes(value));
    }

    @Override
    protected void _setIntLE(int index, int value) {
        region.putInt(at(index), little(value));
    }

    @Override
    protected void _setLong(int index, long value) {
        _setLongLE(index, Long.reverseBytes(value));
    }

    @Override
    protected void _setLongLE(int index, long value) {
        region.putLong(at(index), little(value));
    }

    // Views of regions are in native order; both supported architectures are little-endian.
    private static short little(short value) {
        return ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? value : Short.reverseBytes(value);
    }

    private static int little(int value) {
        return ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? value : Integer.reverseBytes(value);
    }

    private static long little(long value) {
        return ByteOrder.nativeOrder() == ByteOrder.LITTLE_ENDIAN ? value : Long.reverseBytes(value);
    }

    @Override
    public int capacity() {
        return length;
    }

    @Override
    public ByteBuf capacity(int newCapacity) {
        throw new UnsupportedOperationException("a RegionBuf has the capacity of its window, " + length + " bytes");
    }

    @Override
    public ByteBufAllocator alloc() {
        return UnpooledByteBufAllocator.DEFAULT;
    }

    @Override
    @SuppressWarnings("deprecation")
    public ByteOrder order() {
        return ByteOrder.BIG_ENDIAN;
    }

    @Override
    @SuppressWarnings("NullAway")
    public ByteBuf unwrap() {
        return null;
    }

    @Override
    public boolean isDirect() {
        return true;
    }

    @Override
    public boolean hasArray() {
        return false;
    }

    @Override
    public byte[] array() {
        throw new UnsupportedOperationException("direct buffer");
    }

    @Override
    public int arrayOffset() {
        throw new UnsupportedOperationException("direct buffer");
    }

    @Override
    public boolean hasMemoryAddress() {
        return true;
    }

    @Override
    public long memoryAddress() {
        return regionAddress + base;
    }

    @Override
    public ByteBuf getBytes(int index, ByteBuf target, int targetIndex, int lengthBytes) {
        checkDstIndex(index, lengthBytes, targetIndex, target.capacity());
        if (target instanceof RegionBuf other) {
            other.checkIndex(targetIndex, lengthBytes);
            other.region.put(other.at(targetIndex), region, at(index), lengthBytes);
        } else if (target.hasArray()) {
            region.get(at(index), target.array(), target.arrayOffset() + targetIndex, lengthBytes);
        } else {
            target.setBytes(targetIndex, internalNioBuffer(index, lengthBytes));
        }
        return this;
    }

    @Override
    public ByteBuf getBytes(int index, byte[] target, int targetIndex, int lengthBytes) {
        checkDstIndex(index, lengthBytes, targetIndex, target.length);
        region.get(at(index), target, targetIndex, lengthBytes);
        return this;
    }

    @Override
    public ByteBuf getBytes(int index, ByteBuffer target) {
        int lengthBytes = target.remaining();
        checkIndex(index, lengthBytes);
        target.put(
                target.position(),
                region,
                at(index),
                lengthBytes); // not through the one scratch view: several threads may read
        target.position(target.position() + lengthBytes);
        return this;
    }

    @Override
    public ByteBuf getBytes(int index, OutputStream out, int lengthBytes) throws IOException {
        byte[] copy = new byte[lengthBytes];
        getBytes(index, copy);
        out.write(copy);
        return this;
    }

    @Override
    public int getBytes(int index, GatheringByteChannel out, int lengthBytes) throws IOException {
        return out.write(internalNioBuffer(index, lengthBytes));
    }

    @Override
    public int getBytes(int index, FileChannel out, long position, int lengthBytes) throws IOException {
        return out.write(internalNioBuffer(index, lengthBytes), position);
    }

    @Override
    public ByteBuf setBytes(int index, ByteBuf source, int sourceIndex, int lengthBytes) {
        checkSrcIndex(index, lengthBytes, sourceIndex, source.capacity());
        if (source instanceof RegionBuf other) {
            other.checkIndex(sourceIndex, lengthBytes);
            region.put(at(index), other.region, other.at(sourceIndex), lengthBytes);
        } else if (source.hasArray()) {
            region.put(at(index), source.array(), source.arrayOffset() + sourceIndex, lengthBytes);
        } else {
            // A slice of this very buffer would read through the same internal view.
            source.getBytes(
                    sourceIndex,
                    source.unwrap() == null ? internalNioBuffer(index, lengthBytes) : nioBuffer(index, lengthBytes));
        }
        return this;
    }

    @Override
    public ByteBuf setBytes(int index, byte[] source, int sourceIndex, int lengthBytes) {
        checkSrcIndex(index, lengthBytes, sourceIndex, source.length);
        region.put(at(index), source, sourceIndex, lengthBytes);
        return this;
    }

    @Override
    public ByteBuf setBytes(int index, ByteBuffer source) {
        int lengthBytes = source.remaining();
        checkIndex(index, lengthBytes);
        region.put(at(index), source, source.position(), lengthBytes);
        source.position(source.position() + lengthBytes);
        return this;
    }

    @Override
    public int setBytes(int index, InputStream in, int lengthBytes) throws IOException {
        byte[] copy = new byte[lengthBytes];
        int read = in.read(copy);
        if (read > 0) {
            setBytes(index, copy, 0, read);
        }
        return read;
    }

    @Override
    public int setBytes(int index, ScatteringByteChannel in, int lengthBytes) throws IOException {
        return in.read(internalNioBuffer(index, lengthBytes));
    }

    @Override
    public int setBytes(int index, FileChannel in, long position, int lengthBytes) throws IOException {
        return in.read(internalNioBuffer(index, lengthBytes), position);
    }

    @Override
    public ByteBuf copy(int index, int lengthBytes) {
        checkIndex(index, lengthBytes);
        return Unpooled.directBuffer(lengthBytes).writeBytes(this, index, lengthBytes);
    }

    @Override
    public boolean isContiguous() {
        return true;
    }

    @Override
    public int nioBufferCount() {
        return 1;
    }

    @Override
    public ByteBuffer nioBuffer(int index, int lengthBytes) {
        checkIndex(index, lengthBytes);
        return region.slice(at(index), lengthBytes);
    }

    @Override
    public ByteBuffer internalNioBuffer(int index, int lengthBytes) {
        checkIndex(index, lengthBytes);
        if (scratch.capacity() != region.capacity()) {
            scratch = region.duplicate();
        }
        return scratch.clear().position(at(index)).limit(at(index) + lengthBytes);
    }

    @Override
    public ByteBuffer[] nioBuffers(int index, int lengthBytes) {
        return new ByteBuffer[] {nioBuffer(index, lengthBytes)};
    }
}

package io.blocktap.pipeline.socket;

import io.blocktap.transport.memory.RegionBuf;
import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/**
 * What a connection has received and not handled yet, and where its next bytes go: to the other requests; behind a frame that is not all there; or, for a
 * large WRITE, straight into the request's own buffer.
 *
 * <p>Threads: the connection's event loop.
 */
final class RequestReceiver implements SocketReader.Target {
    /** If at least so much of a WRITE's payload is missing, it is received straight into the request's own buffer. */
    private static final int DIRECT_BYTES = 16 << 10;
    /** After a WRITE of this size the next header is received alone, since another such payload is likely to follow it. */
    private static final int LARGE_WRITE_BYTES = 64 << 10;

    private static final int HEADER_READ_BYTES = 4 << 10;

    private final int headerBytes;
    private final ReceiveBuffer received;
    /** Of the WRITE whose header was read last. */
    private final WritePayload payload = new WritePayload(DIRECT_BYTES);

    private int frameBytes;
    private int readLimit = Integer.MAX_VALUE;

    /**
     * Makes an empty one.
     *
     * @param headerBytes the length of a request's header
     * @param memory of the connection's event loop
     */
    RequestReceiver(int headerBytes, SocketMemory memory) {
        this.headerBytes = headerBytes;
        this.frameBytes = headerBytes;
        this.received = new ReceiveBuffer(memory);
    }

    // ---- bytes of the socket

    @Override
    public ByteBuf nextBuffer() {
        return payload.isReadDirectly() ? payload.openWindow(received) : received.openWindow(frameBytes, readLimit);
    }

    /** Returns whether a message of the socket is what {@link #nextBuffer} gave out. */
    boolean isWindow(Object message) {
        return received.isWindow(message);
    }

    /** Takes over what was written into {@link #nextBuffer}. */
    void accept() {
        boolean direct = received.isOverData();
        int count = received.receive();
        if (direct) {
            payload.add(count);
        }
    }

    // ---- headers

    /** Returns whether the next request's header is there. */
    boolean hasHeader() {
        if (received.readable() < headerBytes) {
            frameBytes = headerBytes;
            return false;
        }
        return true;
    }

    /** Returns what holds the header, from {@link #headerIndex} on. */
    ByteBuf bytes() {
        return received.bytes();
    }

    int headerIndex() {
        return received.readIndex();
    }

    /** Passes over the header. */
    void skipHeader() {
        received.skip(headerBytes);
    }

    // ---- payloads

    /** Returns whether the payload behind the header is all there. */
    boolean hasPayload(int length) {
        return received.readable() - headerBytes >= length;
    }

    /** Passes over the header and takes the payload where it lies; returns null, and passes over nothing, if that can not be. */
    @Nullable
    RegionBuf tryTakePayload(int length, int alignment) {
        RegionBuf data = received.takeWindow(headerBytes, length, alignment);
        if (data != null) {
            received.skip(headerBytes + length);
        }
        return data;
    }

    /** Arranges for the rest of a payload to come behind what is there of it; returns false, and does nothing, if the rest is too long for that. */
    boolean gathersBehind(int length) {
        int missing = headerBytes + length - received.readable();
        if (missing >= DIRECT_BYTES || !ReceiveBuffer.canCollect(headerBytes + length)) {
            return false;
        }
        frameBytes = headerBytes + length;
        return true;
    }

    /** Passes over the header; the payload goes into the buffer, which is owned by this object until {@link #takePayload}. */
    void beginPayload(RegionBuf buffer) {
        received.skip(headerBytes);
        payload.begin(buffer);
    }

    /** Passes over the header; so many bytes behind it are to be dropped before the request is answered with the error. */
    void beginSkipping(long lengthBytes, int errno) {
        received.skip(headerBytes);
        payload.beginSkipping(lengthBytes, errno);
    }

    /** Returns whether a payload that is wanted is coming. */
    boolean isCollecting() {
        return payload.isOpen();
    }

    /** Returns whether one that is to be dropped is coming. */
    boolean isSkipping() {
        return payload.isSkipping();
    }

    /** Goes on with {@link #beginPayload}; returns whether it is all there. */
    boolean collect() {
        return awaited(payload.collect(received));
    }

    /** Goes on with {@link #beginSkipping}; returns whether that was all. */
    boolean skip() {
        return awaited(payload.skip(received));
    }

    private boolean awaited(boolean isThere) {
        if (!isThere) {
            frameBytes = 1;
        }
        return isThere;
    }

    /** Hands over the payload that is all there. */
    RegionBuf takePayload() {
        RegionBuf data = payload.take();
        readLimit = data.capacity() >= LARGE_WRITE_BYTES ? HEADER_READ_BYTES : Integer.MAX_VALUE;
        return data;
    }

    /** Returns the error of the request whose payload was dropped last. */
    int skipErrno() {
        return payload.skipErrno();
    }

    /** Returns how many bytes of a wanted payload are still to come. */
    int missingBytes() {
        return payload.missingBytes();
    }

    // ---- the end

    /** Drops what waits: it means nothing. */
    void dropAll() {
        received.skip(received.readable());
    }

    /** Gives back the memory if nothing waits in it. */
    void trim() {
        received.trim();
    }

    /** Gives back everything. */
    void close() {
        payload.close();
        received.close();
    }
}

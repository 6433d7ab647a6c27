package io.blocktap.pipeline.socket;

import io.blocktap.transport.memory.RegionBuf;
import io.netty.buffer.ByteBuf;
import org.jspecify.annotations.Nullable;

/**
 * The payload of a WRITE that comes in several reads of the socket: into its own buffer, or, if the request is refused, to be skipped.
 *
 * <p>Threads: the channel's event loop. Ownership: has the buffer until {@link #take} or {@link #close}.
 */
final class WritePayload {
    /** What is missing of a payload is read straight into its buffer if it is at least so long. */
    private final int directBytes;

    private @Nullable RegionBuf data;
    private int receivedBytes;
    private long skip;
    private int skipErrno;

    WritePayload(int directBytes) {
        this.directBytes = directBytes;
    }

    /** Begins with a payload that is wanted. None may be open. */
    void begin(RegionBuf buffer) {
        data = buffer;
        receivedBytes = 0;
    }

    /** Begins with one that is refused. None may be open. */
    void beginSkipping(long lengthBytes, int errno) {
        skip = lengthBytes;
        skipErrno = errno;
    }

    /** Returns whether a payload that is wanted is coming. */
    boolean isOpen() {
        return data != null;
    }

    /** Returns whether one that is refused is coming. */
    boolean isSkipping() {
        return skip > 0;
    }

    /** Returns the error of the request whose payload was skipped last. */
    int skipErrno() {
        return skipErrno;
    }

    /** Returns how many bytes of a wanted payload are still to come. */
    int missingBytes() {
        RegionBuf open = data;
        return open == null ? 0 : open.capacity() - receivedBytes;
    }

    /** Returns whether the socket should be read into the payload's buffer itself. */
    boolean isReadDirectly() {
        return data != null && missingBytes() >= directBytes;
    }

    /** Returns the rest of the buffer for a read of the socket; {@link #add} tells what came. Only if {@link #isReadDirectly}. */
    ByteBuf openWindow(ReceiveBuffer received) {
        RegionBuf open = data;
        if (open == null) {
            throw new IllegalStateException("no payload is open");
        }
        return received.openWindow(open, receivedBytes, open.capacity() - receivedBytes);
    }

    /** Counts bytes that were read into the buffer itself. */
    void add(int count) {
        receivedBytes += count;
    }

    /** Copies what was received of it, and returns whether it is all there. */
    boolean collect(ReceiveBuffer received) {
        RegionBuf open = data;
        if (open == null) {
            return true;
        }
        int now = Math.min(open.capacity() - receivedBytes, received.readable());
        if (now > 0) {
            open.setBytes(receivedBytes, received.bytes(), received.readIndex(), now);
            received.skip(now);
            receivedBytes += now;
        }
        return receivedBytes == open.capacity();
    }

    /** Drops what was received of it, and returns whether that was all. */
    boolean skip(ReceiveBuffer received) {
        int now = (int) Math.min(skip, received.readable());
        received.skip(now);
        skip -= now;
        return skip == 0;
    }

    /** Hands over the buffer. */
    RegionBuf take() {
        RegionBuf taken = data;
        if (taken == null) {
            throw new IllegalStateException("no payload is open");
        }
        data = null;
        return taken;
    }

    /** Lets go of the buffer. */
    void close() {
        if (data != null) {
            take().release();
        }
    }
}

package io.blocktap.interposer.dump;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.SegmentList;
import io.netty.buffer.ByteBuf;

/**
 * What passed, as words of a {@link RecordRing}, and its form when it was taken out again. The static methods are for event loops; an
 * object belongs to the writer's thread.
 *
 * <p>First word, from the low bits up: length in words (16 bits), kind (8), operation (8), flags (8), status (8), segments (16). Then
 * for requests and responses: time, session and stream (low 16 bits), number, offset, length, latency, bytes of data; a word a
 * segment; the data. For control messages: time, bytes of text; the text.
 */
final class DumpRecord {
    static final int REQUEST = 1;
    static final int RESPONSE = 2;
    static final int CONTROL = 3;

    private static final int FIXED_WORDS = 8;
    private static final int CONTROL_FIXED_WORDS = 3;
    private static final int MAX_SEGMENTS = 4096;
    private static final BlockOp[] OPS = BlockOp.values();
    private static final BlockStatus[] STATUSES = BlockStatus.values();

    int kind;
    BlockOp op = BlockOp.READ;
    BlockStatus status = BlockStatus.OK;
    int flags;
    long timeNanos;
    long session;
    int stream;
    long number;
    long offsetBytes;
    long lengthBytes;
    long latencyNanos;
    int dataBytes;
    byte[] data = new byte[256];
    int segments;
    long[] segment = new long[16];

    // ---- event loops

    /**
     * Puts a request or its response into the ring.
     *
     * @param kind {@link #REQUEST} or {@link #RESPONSE}
     * @param nowNanos {@link System#nanoTime}
     * @param latencyNanos 0 for a request
     * @param dataBytes how much of the data goes with it
     * @return whether there was room
     */
    static boolean push(
            RecordRing ring, int kind, BlockRequest request, long nowNanos, long latencyNanos, int dataBytes) {
        SegmentList list = kind == REQUEST ? request.segments() : null;
        int segments = list == null ? 0 : Math.min(list.count(), MAX_SEGMENTS);
        int words = FIXED_WORDS + segments + (dataBytes + 7 >>> 3);
        long start = ring.claim(words);
        if (start < 0) {
            return false;
        }
        RequestStream stream = request.stream();
        ring.put(start + 1, nowNanos);
        ring.put(start + 2, stream.session().number() << 16 | stream.number() & 0xffff);
        ring.put(start + 3, request.number());
        ring.put(start + 4, request.offsetBytes());
        ring.put(start + 5, request.lengthBytes());
        ring.put(start + 6, latencyNanos);
        ring.put(start + 7, dataBytes);
        if (list != null) {
            putSegments(ring, start + FIXED_WORDS, list, segments);
        }
        if (dataBytes > 0) {
            putData(ring, start + FIXED_WORDS + segments, request.data(), dataBytes);
        }
        ring.publish(
                start,
                words
                        | kind << 16
                        | (long) request.op().ordinal() << 24
                        | (long) (request.flags() & 0xff) << 32
                        | (long) request.response().status().ordinal() << 40
                        | (long) segments << 48);
        return true;
    }

    private static void putSegments(RecordRing ring, long at, SegmentList list, int count) {
        for (int i = 0; i < count; i++) {
            ring.put(at + i, (long) list.gref(i) << 16 | list.firstSector(i) << 8 | list.lastSector(i));
        }
    }

    private static void putData(RecordRing ring, long at, ByteBuf data, int bytes) {
        int whole = bytes >>> 3;
        for (int i = 0; i < whole; i++) {
            ring.put(at + i, data.getLong(i << 3));
        }
        if ((bytes & 7) != 0) {
            long last = 0;
            for (int i = whole << 3; i < bytes; i++) {
                last |= (data.getByte(i) & 0xffL) << 56 - ((i & 7) << 3);
            }
            ring.put(at + whole, last);
        }
    }

    /** Puts a control message into the ring, written out already. */
    static boolean pushControl(RecordRing ring, long nowNanos, byte[] text) {
        int bytes = Math.min(text.length, 4096);
        int words = CONTROL_FIXED_WORDS + (bytes + 7 >>> 3);
        long start = ring.claim(words);
        if (start < 0) {
            return false;
        }
        ring.put(start + 1, nowNanos);
        ring.put(start + 2, bytes);
        for (int i = 0; i < bytes; i += 8) {
            long word = 0;
            for (int j = i; j < Math.min(i + 8, bytes); j++) {
                word |= (text[j] & 0xffL) << 56 - ((j & 7) << 3);
            }
            ring.put(start + CONTROL_FIXED_WORDS + (i >>> 3), word);
        }
        ring.publish(start, words | CONTROL << 16);
        return true;
    }

    // ---- the writer

    /** Takes the next record out of the ring. Returns whether there was one. */
    boolean take(RecordRing ring) {
        long first = ring.peek();
        if (first == 0) {
            return false;
        }
        kind = (int) (first >>> 16) & 0xff;
        timeNanos = ring.get(1);
        if (kind == CONTROL) {
            segments = 0;
            takeData(ring, CONTROL_FIXED_WORDS, (int) ring.get(2));
        } else {
            op = OPS[(int) (first >>> 24) & 0xff];
            flags = (int) (first >>> 32) & 0xff;
            status = STATUSES[(int) (first >>> 40) & 0xff];
            session = ring.get(2) >>> 16;
            stream = (int) ring.get(2) & 0xffff;
            number = ring.get(3);
            offsetBytes = ring.get(4);
            lengthBytes = ring.get(5);
            latencyNanos = ring.get(6);
            takeSegments(ring, (int) (first >>> 48));
            takeData(ring, FIXED_WORDS + segments, (int) ring.get(7));
        }
        ring.remove((int) first & 0xffff);
        return true;
    }

    private void takeSegments(RecordRing ring, int count) {
        segments = count;
        if (segment.length < count) {
            segment = new long[count];
        }
        for (int i = 0; i < count; i++) {
            segment[i] = ring.get(FIXED_WORDS + i);
        }
    }

    private void takeData(RecordRing ring, int at, int bytes) {
        dataBytes = bytes;
        if (data.length < bytes) {
            data = new byte[bytes];
        }
        for (int i = 0; i < bytes; i++) {
            data[i] = (byte) (ring.get(at + (i >>> 3)) >>> 56 - ((i & 7) << 3));
        }
    }

    /** Returns the grant reference of a segment. */
    int gref(int index) {
        return (int) (segment[index] >> 16);
    }

    /** Returns the first sector of a segment. */
    int firstSector(int index) {
        return (int) (segment[index] >>> 8) & 0xff;
    }

    /** Returns the last sector of a segment. */
    int lastSector(int index) {
        return (int) segment[index] & 0xff;
    }
}

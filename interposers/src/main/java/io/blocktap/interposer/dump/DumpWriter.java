package io.blocktap.interposer.dump;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.ControlMessage;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.InstantSource;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Turns records into lines and writes them to the sink, on a thread of its own.
 *
 * <p>The thread sleeps until something comes, then looks again every few milliseconds until nothing came; so a busy loop wakes it by
 * a system call only when it was idle before, or when the ring fills up. A sink that fails is not tried again, and everything
 * from then on is dropped; the log says so once.
 */
final class DumpWriter {
    private static final Logger LOG = LoggerFactory.getLogger(DumpInterposer.class);
    private static final long NAP_NANOS = TimeUnit.MILLISECONDS.toNanos(2);
    private static final long CLOSE_MILLIS = 5000;
    private static final int WRITE_FROM_BYTES = 48 << 10;

    private static final int AWAKE = 0;
    private static final int NAPPING = 1;
    private static final int ASLEEP = 2;
    private static final VarHandle STATE;

    static {
        try {
            STATE = MethodHandles.lookup().findVarHandle(DumpWriter.class, "state", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final String label;
    private final LineFormat format;
    private final OutputStream sink;
    private final InstantSource clock;
    private final RecordRing ring;
    private final Thread thread;
    private volatile int state = AWAKE;
    private volatile boolean closing;
    private volatile boolean failed;

    // The thread's own.
    private final DumpRecord record = new DumpRecord();
    private final LineBuffer lines = new LineBuffer();
    private int linesWaiting;
    private long droppedSaid;
    private long wallMinusNano;

    /**
     * Starts the thread.
     *
     * @param label starts lines in the log
     * @param sink closed by {@link #close}
     * @param capacityWords of the ring; a power of two
     */
    DumpWriter(String label, LineFormat format, OutputStream sink, int capacityWords, InstantSource clock) {
        this.label = label;
        this.format = format;
        this.sink = sink;
        this.clock = clock;
        this.ring = new RecordRing(capacityWords);
        this.thread = new Thread(this::run, "dump " + label);
        this.thread.setDaemon(true);
        this.thread.start();
    }

    // ---- any thread

    void push(int kind, BlockRequest request, long nowNanos, long latencyNanos, int dataBytes) {
        if (failed) {
            ring.drop();
        } else if (DumpRecord.push(ring, kind, request, nowNanos, latencyNanos, dataBytes)) {
            wake();
        }
    }

    void control(ControlMessage message) {
        if (failed) {
            ring.drop();
            return;
        }
        byte[] text = format.control(message).getBytes(StandardCharsets.UTF_8);
        if (DumpRecord.pushControl(ring, System.nanoTime(), text)) {
            wake();
        }
    }

    private void wake() {
        VarHandle.fullFence(); // the record is there before the state is read, or the thread could sleep over it
        int seen = state;
        if (seen == ASLEEP || seen == NAPPING && ring.isHalfFull()) {
            if (STATE.compareAndSet(this, seen, AWAKE)) {
                LockSupport.unpark(thread);
            }
        }
    }

    /** Writes what waits, ends the thread and closes the sink; waits at most 5 seconds for a sink that does not take its lines. */
    void close() {
        closing = true;
        LockSupport.unpark(thread);
        boolean interrupted = false;
        try {
            thread.join(CLOSE_MILLIS);
        } catch (InterruptedException e) {
            interrupted = true;
        }
        if (thread.isAlive()) {
            LOG.warn("[{}] the sink takes no more lines; those that wait are given up", label);
        }
        if (ring.dropped() > 0) {
            LOG.warn(
                    "[{}] dropped {} lines in all: {}",
                    label,
                    ring.dropped(),
                    failed ? "the sink failed" : "the sink was slow");
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    // ---- the thread

    private void run() {
        try {
            while (true) {
                boolean last = closing;
                boolean any = drain();
                if (last) {
                    break;
                }
                rest(any);
            }
        } finally {
            closeSink();
        }
    }

    private void rest(boolean any) {
        if (any) {
            state = NAPPING;
            LockSupport.parkNanos(this, NAP_NANOS);
        } else {
            state = ASLEEP;
            VarHandle.fullFence();
            if (ring.peek() == 0 && !closing) {
                LockSupport.park(this);
            }
        }
        state = AWAKE;
    }

    /** Writes all that is in the ring. Returns whether there was anything. */
    private boolean drain() {
        Instant now = clock.instant();
        wallMinusNano = TimeUnit.SECONDS.toNanos(now.getEpochSecond()) + now.getNano() - System.nanoTime();
        boolean any = false;
        while (record.take(ring)) {
            any = true;
            if (failed) {
                ring.drop();
                continue;
            }
            format.append(lines, record, (wallMinusNano + record.timeNanos) / 1000);
            linesWaiting++;
            if (lines.length() >= WRITE_FROM_BYTES) {
                sayDropped();
                write();
            }
        }
        sayDropped();
        if (lines.length() > 0) {
            write();
        }
        return any;
    }

    private void sayDropped() {
        long dropped = ring.dropped();
        if (dropped != droppedSaid && !failed) {
            format.appendDropped(lines, dropped - droppedSaid, (wallMinusNano + System.nanoTime()) / 1000);
            droppedSaid = dropped;
        }
    }

    private void write() {
        try {
            lines.writeTo(sink);
        } catch (IOException e) {
            failed = true;
            for (int i = 0; i < linesWaiting; i++) {
                ring.drop();
            }
            LOG.warn("[{}] can not write lines any more, they are dropped from now on: {}", label, e.getMessage());
        }
        linesWaiting = 0;
    }

    private void closeSink() {
        try {
            sink.close();
        } catch (IOException e) {
            LOG.warn("[{}] closing the sink: {}", label, e.getMessage());
        }
    }
}

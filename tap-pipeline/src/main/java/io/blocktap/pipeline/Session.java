package io.blocktap.pipeline;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * One connected frontend of one disk: who it is, and its streams of requests (one a ring, queue or connection).
 *
 * <p>Any thread.
 */
public final class Session {
    private final long number;
    private final Disk disk;
    private final String tap;
    private final String peer;
    private final List<RequestStream> streams = new CopyOnWriteArrayList<>();
    private final AtomicInteger streamNumbers = new AtomicInteger();

    Session(long number, Disk disk, String tap, String peer) {
        this.number = number;
        this.disk = disk;
        this.tap = tap;
        this.peer = peer;
    }

    /** Returns a number that names the session in logs, counted from 1 in each disk. */
    public long number() {
        return number;
    }

    /** Returns the disk. */
    public Disk disk() {
        return disk;
    }

    /** Returns the kind of tap it came through, for example {@code nbd}. */
    public String tap() {
        return tap;
    }

    /** Returns who it is, as far as the tap knows: a process, an address, a domain. */
    public String peer() {
        return peer;
    }

    /** Returns its open streams. */
    public List<RequestStream> streams() {
        return streams;
    }

    int nextStreamNumber() {
        return streamNumbers.getAndIncrement();
    }

    @Override
    public String toString() {
        return disk.logName() + " session " + number + " (" + tap + " " + peer + ")";
    }
}

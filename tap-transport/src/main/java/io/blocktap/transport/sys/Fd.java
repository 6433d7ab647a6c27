package io.blocktap.transport.sys;

import io.netty.channel.unix.FileDescriptor;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Owns one file descriptor and closes it exactly once.
 *
 * <p>Whoever holds the {@code Fd} owns the descriptor; handing the object over hands over the ownership. Any thread may
 * close it; calls that are using the number at that moment must have been waited for before.
 */
public final class Fd implements AutoCloseable {
    private final int number;
    private final FileDescriptor nettyView;
    private final AtomicBoolean closed = new AtomicBoolean();

    Fd(int number) {
        this.number = number;
        this.nettyView = new FileDescriptor(number);
    }

    /**
     * Takes over a descriptor that came from outside, for example out of a received message.
     *
     * @param number an open descriptor that nobody else will close
     */
    public static Fd takeOver(int number) {
        return new Fd(number);
    }

    /**
     * Returns the descriptor's number for a call that is made now.
     *
     * @throws IllegalStateException if it was closed: the number may be somebody else's by now
     */
    public int number() {
        if (closed.get()) {
            throw new IllegalStateException("fd " + number + " was closed");
        }
        return number;
    }

    /**
     * Returns Netty's view of the descriptor, the same object each time (an event loop keys its registrations by it). It
     * stays owned by this object: close this, never the view.
     */
    public FileDescriptor nettyView() {
        return nettyView;
    }

    /** Returns whether the descriptor is still open. */
    public boolean isOpen() {
        return !closed.get();
    }

    @Override
    public void close() {
        if (closed.compareAndSet(false, true)) {
            try {
                nettyView.close();
            } catch (java.io.IOException e) {
                // close(2) reports a late write error of some file systems; the descriptor is gone all the same, and
                // blocktap never relies on close for durability.
                org.slf4j.LoggerFactory.getLogger(Fd.class).warn("close of fd {} reported {}", number, e.toString());
            }
        }
    }

    @Override
    public String toString() {
        return "fd " + number + (closed.get() ? " (closed)" : "");
    }
}

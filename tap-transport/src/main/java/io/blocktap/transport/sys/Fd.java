package io.blocktap.transport.sys;

import io.netty.channel.unix.FileDescriptor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Owns one file descriptor and closes it exactly once.
 *
 * <p>Whoever holds the {@code Fd} owns the descriptor; handing the object over hands over the ownership. Any thread may
 * close it; calls that are using the number at that moment must have been waited for before.
 */
public final class Fd implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Fd.class);

    private final int number;
    private final View nettyView;

    Fd(int number) {
        this.number = number;
        this.nettyView = new View(number);
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
        if (!isOpen()) {
            throw new IllegalStateException("fd " + number + " was closed");
        }
        return number;
    }

    /**
     * Returns Netty's view of the descriptor, the same object each time (an event loop keys its registrations by it). It
     * stays owned by this object. Closing the view closes this, too.
     */
    public FileDescriptor nettyView() {
        return nettyView;
    }

    /** Returns whether the descriptor is still open. */
    public boolean isOpen() {
        return nettyView.isOpen();
    }

    @Override
    public void close() {
        nettyView.close();
    }

    @Override
    public String toString() {
        return "fd " + number + (isOpen() ? "" : " (closed)");
    }

    /** Closes by our own call: Netty's needs a native library that is only there once an event loop was made. */
    private static final class View extends FileDescriptor {
        View(int number) {
            super(number);
        }

        @Override
        public void close() {
            if (markClosed()) {
                int result = Libc.closeNumber(intValue());
                if (result < 0) {
                    // close(2) reports a late write error of some file systems; the descriptor is gone all the same,
                    // and
                    // blocktap never relies on close for durability.
                    LOG.warn("close of fd {} reported {}", intValue(), Errno.describe(-result));
                }
            }
        }
    }
}

package io.blocktap.pipeline.codec.blkif;

import io.blocktap.transport.GuestCopies;
import io.blocktap.transport.GuestMemory;
import io.blocktap.transport.TapChannel;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.ring.BackRing;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelPromise;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/** A ring as Xen's are, without Xen: the backend may copy the guest's pages only, and each thing that it does to them or to the doorbell is told to the test. */
final class TableRing extends TapChannel {
    private static final SocketAddress ADDRESS = new SocketAddress() {
        private static final long serialVersionUID = 1L;

        @Override
        public String toString() {
            return "ring with a table";
        }
    };

    private final Fd doorbell = Libc.eventFd();
    private final Runnable step;
    private final Pages pages;

    /**
     * Makes the backend's end.
     *
     * @param memory the ring's pages, then the guest's: a grant reference is a page's number in it
     * @param step called on the loop before and after each thing that the guest could notice
     * @param filled told of each page that is about to be filled
     */
    TableRing(BackRing ring, MappedRegion memory, int ringPages, Runnable step, IntConsumer filled) throws Exception {
        super(null, ring);
        this.step = step;
        this.pages = new Pages(memory.view(), ringPages, filled);
    }

    /** The guest has rung. On the loop. */
    void kick() {
        lookNow();
    }

    @Override
    public GuestMemory memory() {
        return pages;
    }

    @Override
    protected void notifyFrontend() {
        step.run();
    }

    @Override
    protected void doRegister(ChannelPromise promise) {
        watchThen(doorbell, promise);
    }

    @Override
    protected void doClose() throws Exception {
        if (isOpen()) {
            super.doClose();
            doorbell.close();
        }
    }

    @Override
    protected SocketAddress localAddress0() {
        return ADDRESS;
    }

    @Override
    protected SocketAddress remoteAddress0() {
        return ADDRESS;
    }

    private final class Pages implements GuestMemory {
        private final ByteBuffer memory;
        private final int firstPage;
        private final IntConsumer filled;
        private final Copies fromGuest = new Copies(false);
        private final Copies toGuest = new Copies(true);

        Pages(ByteBuffer memory, int firstPage, IntConsumer filled) {
            this.memory = memory;
            this.firstPage = firstPage;
            this.filled = filled;
        }

        @Override
        public boolean isValid(int gref) {
            step.run();
            return gref >= firstPage && gref < memory.capacity() / 4096;
        }

        @Override
        public @Nullable MappedRegion region() {
            return null;
        }

        @Override
        public GuestCopies copiesFromGuest() {
            return fromGuest;
        }

        @Override
        public GuestCopies copiesToGuest() {
            return toGuest;
        }

        /** Copies in a batch, as a grant copy does. */
        private final class Copies implements GuestCopies {
            private record Copy(int at, int length, ByteBuf ours, int index) {}

            private final boolean toGuest;
            private final List<Copy> copies = new ArrayList<>();

            Copies(boolean toGuest) {
                this.toGuest = toGuest;
            }

            @Override
            public void add(int gref, int pageOffset, int length, ByteBuf ours, int index) {
                copies.add(new Copy(gref * 4096 + pageOffset, length, ours, index));
            }

            @Override
            public int count() {
                return copies.size();
            }

            @Override
            public void run() {
                step.run();
                byte[] bytes = new byte[4096];
                for (Copy copy : copies) {
                    if (toGuest) {
                        filled.accept(copy.at / 4096);
                        copy.ours.getBytes(copy.index, bytes, 0, copy.length);
                        memory.put(copy.at, bytes, 0, copy.length);
                    } else {
                        memory.get(copy.at, bytes, 0, copy.length);
                        copy.ours.setBytes(copy.index, bytes, 0, copy.length);
                    }
                }
                step.run();
            }

            @Override
            public boolean areDone(int from, int to) {
                return true;
            }

            @Override
            public void clear() {
                copies.clear();
            }
        }
    }
}

package io.blocktap.transport.xen;

import io.blocktap.transport.TapException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.ring.BackRing;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.InFlightTable;
import io.blocktap.transport.ring.RingProtocolException;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.concurrent.ThreadLocalRandom;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The file of one ring's {@link InFlightTable}, mapped and locked.
 *
 * <p>A nonce in the ring's padding tells what may be believed: the table's own nonce means that this very ring was served with this table, and was not ended cleanly. None
 * means that the ring is new, or that whoever served it has answered all that it took. Another one means that what was in flight is not known; then the ring is refused,
 * unless the frontend itself says that it waits for nothing.
 *
 * <p>Threads: the ring's own. Ownership: has the file and its mapping, not the ring's pages.
 */
final class RingTable implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(RingTable.class);

    private final RingTables tables;
    private final XenAddress address;
    private final Fd file;
    private final MappedRegion region;
    private final InFlightTable table;
    private final boolean isTakenOver;

    private RingTable(
            RingTables tables,
            XenAddress address,
            Fd file,
            MappedRegion region,
            InFlightTable table,
            boolean isTakenOver) {
        this.tables = tables;
        this.address = address;
        this.file = file;
        this.region = region;
        this.table = table;
        this.isTakenOver = isTakenOver;
    }

    /**
     * Finds the table of a ring that an earlier process has left, or makes a new one.
     *
     * @param ring the ring's pages, little-endian
     * @throws TapException if the ring can not be served safely, or the file can not be used
     */
    static RingTable attach(RingTables tables, XenAddress address, BlkifLayout layout, int pages, ByteBuffer ring)
            throws TapException {
        Fd file = tables.lock(address);
        boolean isAttached = false;
        try {
            RingTable result = attach(tables, address, layout, pages, ring, file);
            isAttached = true;
            return result;
        } catch (NativeException e) {
            throw new TapException(tables.pathOf(address) + ": " + e.getMessage(), e);
        } finally {
            if (!isAttached) {
                file.close();
            }
        }
    }

    private static RingTable attach(
            RingTables tables, XenAddress address, BlkifLayout layout, int pages, ByteBuffer ring, Fd file)
            throws NativeException, TapException {
        InFlightTable.Owner owner = new InFlightTable.Owner(address.domid(), address.device(), address.queue());
        int wanted = InFlightTable.sizeBytes(layout.slots(pages));
        long size = RingTables.sizeOf(file);
        long nonce = ring.getLong(BlkifLayout.NONCE);
        String whyNot = size == 0
                ? "it has no table in " + tables.pathOf(address)
                : tables.pathOf(address) + " has " + size + " bytes, not " + wanted;
        if (nonce != 0 && size == wanted) {
            MappedRegion region = MappedRegion.shared(file, wanted);
            try {
                InFlightTable table = InFlightTable.open(region.view(), owner, layout, pages, nonce);
                return new RingTable(tables, address, file, region, table, true);
            } catch (RingProtocolException e) {
                region.release();
                whyNot = String.valueOf(e.getMessage());
            }
        }
        int unanswered = BackRing.unansweredIn(ring);
        if (nonce != 0 && unanswered != 0) {
            // What waits in the ring can not be told from what was in flight, whose slots may hold responses by now.
            throw new TapException(address + ": the server before was killed, and what it had in flight is not known: "
                    + whyNot + "; start with the state= of that server, or restart the guest");
        }
        return create(tables, address, owner, layout, pages, ring, file);
    }

    private static RingTable create(
            RingTables tables,
            XenAddress address,
            InFlightTable.Owner owner,
            BlkifLayout layout,
            int pages,
            ByteBuffer ring,
            Fd file)
            throws NativeException {
        int size = InFlightTable.sizeBytes(layout.slots(pages));
        Libc.truncate(file, size);
        int result = Libc.allocate(file, 0, 0, size); // or a full tmpfs would be a SIGBUS later
        if (result < 0 && result != -Errno.EOPNOTSUPP) {
            throw new NativeException("fallocate", tables.pathOf(address).toString(), -result);
        }
        MappedRegion region = MappedRegion.shared(file, size);
        long nonce = ThreadLocalRandom.current().nextLong() | 1;
        InFlightTable table =
                InFlightTable.create(region.view(), owner, layout, pages, nonce, BackRing.publishedOf(ring));
        ring.putLong(BlkifLayout.NONCE, nonce);
        return new RingTable(tables, address, file, region, table, false);
    }

    InFlightTable table() {
        return table;
    }

    /** Returns whether an earlier process has left it. */
    boolean isTakenOver() {
        return isTakenOver;
    }

    /** Ends the use of a ring that is still mapped: if all is answered the next backend needs no table, and finds none. */
    void end(ByteBuffer ring) {
        if (table.isClean()) {
            ring.putLong(BlkifLayout.NONCE, 0);
            try {
                tables.remove(address);
            } catch (IOException e) {
                LOG.debug("{}: its table stays behind, and is not used again: {}", address, e.toString());
            }
        }
        close();
    }

    /** Lets go of the file; it stays as it is. */
    @Override
    public void close() {
        region.release();
        file.close();
    }
}

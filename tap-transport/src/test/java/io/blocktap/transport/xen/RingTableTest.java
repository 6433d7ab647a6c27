package io.blocktap.transport.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.transport.TapException;
import io.blocktap.transport.ring.BackRing;
import io.blocktap.transport.ring.BlkifLayout;
import io.blocktap.transport.ring.RingSlot;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A ring is only taken over with its own table, from files that nobody else could write. */
class RingTableTest {
    private static final BlkifLayout LAYOUT = BlkifLayout.X86_64;
    private static final XenAddress ADDRESS = new XenAddress(5, 51712, 0);

    @TempDir
    Path directory;

    private final ByteBuffer ring = ByteBuffer.allocateDirect(4096).order(ByteOrder.LITTLE_ENDIAN);
    private RingTables tables;

    @BeforeEach
    void openDirectory() throws TapException {
        tables = RingTables.open(directory.resolve("run/xen"), "tap");
    }

    private RingTable attach() throws TapException {
        return RingTable.attach(tables, ADDRESS, LAYOUT, 1, ring);
    }

    private BackRing backend(RingTable table) {
        return new BackRing(ring, LAYOUT, 1, table.table());
    }

    /** Serves the ring and ends as if killed, with some requests taken. */
    private void dieWith(int requests) throws TapException {
        try (RingTable table = attach()) {
            BackRing back = backend(table);
            ring.putInt(BlkifLayout.REQ_PROD, ring.getInt(BlkifLayout.REQ_PROD) + requests);
            for (int i = 0; i < requests; i++) {
                assertThat(back.next(new RingSlot(LAYOUT))).isTrue();
            }
        }
    }

    @Test
    void killedBackendsRequestsAreFoundAgain() throws Exception {
        dieWith(3);

        try (RingTable table = attach()) {
            assertThat(table.isTakenOver()).isTrue();
            assertThat(table.table().redoCount()).isEqualTo(3);
        }
    }

    @Test
    void backendThatHasAnsweredAllLeavesNothingBehind() throws Exception {
        RingTable table = attach();
        BackRing back = backend(table);
        RingSlot slot = new RingSlot(LAYOUT);
        ring.putInt(BlkifLayout.REQ_PROD, 1);
        back.next(slot);
        back.respond(0, 0, 0, slot.entry());
        back.publish();

        table.end(ring);

        assertThat(tables.list()).isEmpty();
        assertThat(ring.getLong(BlkifLayout.NONCE)).isZero();
        ring.putInt(BlkifLayout.REQ_PROD, 3); // the guest goes on while nobody serves it
        try (RingTable next = attach()) {
            assertThat(next.isTakenOver()).isFalse();
            assertThat(backend(next).next(slot)).isTrue();
        }
    }

    @Test
    void failedFlushOutlivesACleanEnd() throws Exception {
        RingTable table = attach();
        backend(table).fence();

        table.end(ring);

        try (RingTable next = attach()) {
            assertThat(backend(next).isFenced()).isTrue();
        }
    }

    @Test
    void ringWhoseTableIsGoneIsRefusedWhileItsFrontendWaits() throws Exception {
        dieWith(2);
        tables.remove(ADDRESS);

        assertThatThrownBy(this::attach)
                .isInstanceOf(TapException.class)
                .hasMessageContaining("what it had in flight is not known")
                .hasMessageContaining("start with the state= of that server, or restart the guest");
    }

    @Test
    void ringWhoseTableIsGoneIsServedWhenItsFrontendWaitsForNothing() throws Exception {
        dieWith(0);
        tables.remove(ADDRESS);

        try (RingTable table = attach()) {
            assertThat(table.isTakenOver()).isFalse();
        }
    }

    @Test
    void newRingWithTheSameGrantsDoesNotGetTheOldTable() throws Exception {
        dieWith(2);
        for (int i = 0; i < 4096; i++) {
            ring.put(i, (byte) 0); // what a frontend does that begins anew
        }

        try (RingTable table = attach()) {
            assertThat(table.isTakenOver()).isFalse();
            assertThat(backend(table).inFlight()).isZero();
        }
    }

    @Test
    void tableIsLockedAsLongAsItIsServed() throws Exception {
        try (RingTable table = attach()) {
            assertThat(table.isTakenOver()).isFalse();
            assertThatThrownBy(this::attach).hasMessageContaining("is served by another process");
        }
    }

    @Test
    void filesAndDirectoryAreForTheOwnerOnly() throws Exception {
        try (RingTable table = attach()) {
            assertThat(table.isTakenOver()).isFalse();
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(tables.pathOf(ADDRESS))))
                    .isEqualTo("rw-------");
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(directory.resolve("run/xen"))))
                    .isEqualTo("rwx------");
            assertThat(tables.list()).containsExactly(ADDRESS);
        }
    }

    @Test
    void linkInPlaceOfATableIsNotFollowed() throws IOException {
        Path victim = Files.writeString(directory.resolve("victim"), "precious");
        Files.createSymbolicLink(tables.pathOf(ADDRESS), victim);

        assertThatThrownBy(this::attach)
                .isInstanceOf(TapException.class)
                .hasMessageContaining(tables.pathOf(ADDRESS).toString());
        assertThat(victim).hasContent("precious");
    }

    @Test
    void directoryThatOthersMayWriteIsRefused() throws IOException {
        Path open = Files.createDirectory(directory.resolve("open"));
        Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxrwxrwx"));

        assertThatThrownBy(() -> RingTables.open(open, "tap"))
                .isInstanceOf(TapException.class)
                .hasMessageContaining("with mode 777")
                .hasMessageContaining("mode 700");
    }
}

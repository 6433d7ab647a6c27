package io.blocktap.transport.xen;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.transport.TapException;
import io.blocktap.transport.memory.MappedRegion;
import io.blocktap.transport.sys.Errno;
import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.blocktap.transport.xen.GrantAllocator.PeerAccess;
import java.nio.ByteBuffer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What of the grants can be seen without Xen: here every ioctl fails. The rest is in {@code XenDevicesLab} of it-tests. */
class GrantsTest {
    private static final int ENOTTY = 25;

    private int regionsBefore;
    private GrantDevice device;

    @BeforeEach
    void open() throws NativeException {
        regionsBefore = MappedRegion.liveRegions();
        device = new GrantDevice(nothing());
    }

    private static Fd nothing() throws NativeException {
        return Libc.openFile("/dev/null", Libc.O_RDWR, 0);
    }

    @AfterEach
    void close() {
        device.close();
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore);
    }

    // ---- mappings

    @Test
    void failedMappingNamesGrantsAndDomain() {
        assertThatThrownBy(() -> device.map(7, 8, 9, 10))
                .isInstanceOf(TapException.class)
                .hasMessage("grants [8, 9, 10] of domain 7 can not be mapped: errno 25");
        assertThatThrownBy(() -> device.map(7, new int[17]))
                .hasMessage("grants 17 of them of domain 7 can not be mapped: errno 25");
        assertThatThrownBy(() -> device.map(7)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void failedAllocationNamesPagesAndDomain() throws NativeException {
        try (GrantAllocator allocator = new GrantAllocator(nothing())) {
            assertThatThrownBy(() -> allocator.allocate(7, 3, PeerAccess.READ))
                    .isInstanceOf(TapException.class)
                    .hasMessage("3 pages can not be granted to domain 7: errno 25");
            assertThatThrownBy(() -> allocator.allocate(7, 0, PeerAccess.READ))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    // ---- copies

    private static ByteBuffer segments(GrantCopy copy, int first, int count) {
        return Libc.view(copy.segmentAddress(first), count * GntdevLayout.SEGMENT_BYTES);
    }

    @Test
    void segmentFromGuestHasForeignSource() throws NativeException {
        try (GrantCopy copy = GrantCopy.fromGuest(device, 4)) {
            assertThat(copy.add(0xfff0, 0x89abcdef, 512, 3584, 0x1122334455667788L))
                    .isZero();

            ByteBuffer segment = segments(copy, 0, 1);
            assertThat(segment.getInt(0)).isEqualTo(0x89abcdef);
            assertThat(segment.getShort(4)).isEqualTo((short) 512);
            assertThat(segment.getShort(6)).isEqualTo((short) 0xfff0);
            assertThat(segment.getLong(8)).isEqualTo(0x1122334455667788L);
            assertThat(segment.getShort(16)).isEqualTo((short) 3584);
            assertThat(segment.getShort(18)).isEqualTo((short) 1);
            assertThat(segment.getShort(20)).as("not okay before it was run").isEqualTo((short) -1);
        }
    }

    @Test
    void segmentToGuestHasForeignDestination() throws NativeException {
        try (GrantCopy copy = GrantCopy.toGuest(device, 4)) {
            copy.add(1, 2, 0, 4096, 3);

            ByteBuffer segment = segments(copy, 0, 1);
            assertThat(segment.getLong(0)).isEqualTo(3);
            assertThat(segment.getInt(8)).isEqualTo(2);
            assertThat(segment.getShort(12)).isZero();
            assertThat(segment.getShort(14)).isEqualTo((short) 1);
            assertThat(segment.getShort(16)).isEqualTo((short) 4096);
            assertThat(segment.getShort(18)).isEqualTo((short) 2);
        }
    }

    @Test
    void takesSegmentsUpToItsBoundAndAgainAfterClear() throws NativeException {
        int most = 20_000;
        try (GrantCopy copy = GrantCopy.fromGuest(device, most)) {
            for (int turn = 0; turn < 2; turn++) {
                for (int i = 0; i < most; i++) {
                    assertThat(copy.add(1, i, 0, 1, i)).isEqualTo(i);
                }
                assertThat(copy.add(1, 0, 0, 1, 0)).isEqualTo(-1);
                assertThat(copy.count()).isEqualTo(most);
                ByteBuffer segments = segments(copy, 0, most);
                for (int i = 0; i < most; i++) {
                    assertThat(segments.getInt(i * 24)).isEqualTo(i);
                }
                copy.clear();
                assertThat(copy.count()).isZero();
            }
        }
    }

    @Test
    void refusesBoundsThatMakeNoSense() {
        assertThatThrownBy(() -> GrantCopy.fromGuest(device, 0)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> GrantCopy.toGuest(device, Integer.MAX_VALUE))
                .isInstanceOf(IllegalArgumentException.class);
    }

    @ParameterizedTest
    @CsvSource({"-1, 1", "0, -1", "0, 4097", "1, 4096", "4096, 1", "2147483647, 1", "0, 2147483647", "-2147483648, 0"})
    void refusesSegmentOutsideOfItsPageWhichWouldFailAllOthers(int offset, int length) throws NativeException {
        try (GrantCopy copy = GrantCopy.fromGuest(device, 4)) {
            assertThatThrownBy(() -> copy.add(1, 2, offset, length, 0))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessage(length + " bytes at " + offset + " do not lie in a page");
            assertThat(copy.count()).isZero();
        }
    }

    @Test
    void allSegmentsHaveFailedWhenTheCallHas() throws NativeException {
        try (GrantCopy copy = GrantCopy.fromGuest(device, 4)) {
            copy.add(1, 2, 0, 1, 0);
            copy.add(1, 2, 0, 1, 0);
            // What an EFAULT was seen to leave behind.
            segments(copy, 0, 2).putShort(20, (short) 0).putShort(44, (short) 0);

            assertThat(copy.run()).isEqualTo(-ENOTTY);

            assertThat(copy.status(0)).isEqualTo(GrantCopy.GENERAL_ERROR);
            assertThat(copy.status(1)).isEqualTo(GrantCopy.GENERAL_ERROR);
            assertThatThrownBy(() -> copy.status(2)).isInstanceOf(IndexOutOfBoundsException.class);
        }
    }

    @Test
    void mustBeClearedBetweenTurns() throws NativeException {
        try (GrantCopy copy = GrantCopy.fromGuest(device, 4)) {
            assertThat(copy.run()).as("nothing to do, no call").isZero();

            assertThatThrownBy(() -> copy.add(1, 2, 0, 1, 0)).isInstanceOf(IllegalStateException.class);
            assertThatThrownBy(copy::run).isInstanceOf(IllegalStateException.class);
            copy.clear();
            assertThat(copy.add(1, 2, 0, 1, 0)).isZero();
            assertThat(copy.status(0)).as("not run").isEqualTo(GrantCopy.GENERAL_ERROR);
        }
    }

    @Test
    void statusesHaveNames() {
        assertThat(GrantCopy.describe(0)).isEqualTo("okay");
        assertThat(GrantCopy.describe(-3)).isEqualTo("bad grant reference");
        assertThat(GrantCopy.describe(-99)).isEqualTo("grant status -99");
        assertThat(Errno.describe(Errno.EFAULT)).isEqualTo("EFAULT (bad address)");
    }
}

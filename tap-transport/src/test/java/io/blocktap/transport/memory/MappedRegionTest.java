package io.blocktap.transport.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.transport.sys.Fd;
import io.blocktap.transport.sys.Libc;
import io.blocktap.transport.sys.NativeException;
import io.netty.util.IllegalReferenceCountException;
import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** A mapping lives exactly as long as somebody uses it. */
class MappedRegionTest {
    private static boolean isMapped(long address) throws IOException {
        return Files.readAllLines(Path.of("/proc/self/maps")).stream().anyMatch(line -> {
            String[] range = line.substring(0, line.indexOf(' ')).split("-");
            return Long.compareUnsigned(address, Long.parseUnsignedLong(range[0], 16)) >= 0
                    && Long.compareUnsigned(address, Long.parseUnsignedLong(range[1], 16)) < 0;
        });
    }

    @Test
    void unmapsAfterLastReleaseOnly() throws IOException {
        int before = MappedRegion.liveRegions();
        MappedRegion region;
        try (Fd fd = Libc.memoryFile("region-test", 8192)) {
            region = MappedRegion.shared(fd, 8192);
        }
        long address = region.address();
        region.retain();
        assertThat(MappedRegion.liveRegions()).isEqualTo(before + 1);

        assertThat(region.release()).isFalse();
        region.view().putLong(8184, 1);
        assertThat(isMapped(address)).isTrue();

        assertThat(region.release()).isTrue();
        assertThat(MappedRegion.liveRegions()).isEqualTo(before);
        assertThat(Files.readString(Path.of("/proc/self/maps"))).doesNotContain("region-test");
        assertThatThrownBy(region::release).isInstanceOf(IllegalReferenceCountException.class);
        assertThatThrownBy(region::retain).isInstanceOf(IllegalReferenceCountException.class);
        assertThat(MappedRegion.liveRegions()).isEqualTo(before);
    }

    @Test
    void countsNothingWhenMappingFails() {
        int before = MappedRegion.liveRegions();

        assertThatThrownBy(() -> MappedRegion.anonymous(0)).isInstanceOf(NativeException.class);

        assertThat(MappedRegion.liveRegions()).isEqualTo(before);
    }

    @Test
    void givesViewsInNativeOrder() throws NativeException {
        MappedRegion region = MappedRegion.anonymous(4096);
        region.view().putInt(100, 0x01020304);

        assertThat(region.view().order()).isEqualTo(ByteOrder.nativeOrder());
        assertThat(region.slice(100, 4).order()).isEqualTo(ByteOrder.nativeOrder());
        assertThat(region.slice(100, 4).getInt()).isEqualTo(0x01020304);
        assertThat(region.address() % Libc.PAGE_BYTES).isZero();
        assertThatThrownBy(() -> region.slice(4000, 97)).isInstanceOf(IndexOutOfBoundsException.class);
        region.release();
    }

    @Test
    void mapsSparseRegionOfTwoGibibytes() throws NativeException {
        int size = Integer.MAX_VALUE & -4096;
        MappedRegion region = MappedRegion.sparse(size);

        region.view().put(size - 1, (byte) 1);

        assertThat(region.sizeBytes()).isEqualTo(size);
        assertThat(region.view().get(size - 1)).isOne();
        region.release();
    }
}

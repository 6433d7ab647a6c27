package io.blocktap.transport.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import io.netty.util.IllegalReferenceCountException;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Buffers are aligned, do not overlap, come back, and count against the budget. */
class SlabAllocatorTest {
    private static final int MIB = 1 << 20;

    private final MemoryBudget budget = new MemoryBudget(16L * MIB);
    private int regionsBefore;
    private SlabAllocator slabs;

    @BeforeEach
    void open() {
        regionsBefore = MappedRegion.liveRegions();
        slabs = new SlabAllocator(budget, 4L * MIB);
    }

    @AfterEach
    void everythingIsUnmapped() {
        slabs.close();
        assertThat(slabs.buffersInUse()).isZero();
        assertThat(budget.usedBytes()).isZero();
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 512, 4095, 4096, 4097, 8192, 12288, 44 << 10, MIB - 1, MIB, MIB + 1, 3 * MIB, 64 * MIB})
    void givesExactCapacityAlignedToPages(int length) {
        RegionBuf buffer = slabs.tryAllocate(length);

        assertThat(buffer.capacity()).isEqualTo(length);
        assertThat(buffer.memoryAddress() % 4096).isZero();
        assertThat(buffer.refCnt()).isOne();
        assertThat(buffer.readerIndex() + buffer.writerIndex()).isZero();
        assertThat(budget.usedBytes())
                .isEqualTo(Math.max(4096, Integer.highestOneBit(length - 1 | 1) * 2L))
                .isGreaterThanOrEqualTo(length);
        buffer.setByte(length - 1, 1);
        buffer.release();
    }

    @Test
    void refusesImpossibleSizes() {
        assertThatThrownBy(() -> slabs.tryAllocate(0)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> slabs.tryAllocate(-1)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> slabs.tryAllocate(64 * MIB + 1))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("67108865 bytes; 1 to 67108864");
    }

    @Test
    void buffersDoNotOverlap() {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        List<RegionBuf> out = new ArrayList<>();
        List<Integer> marks = new ArrayList<>();
        for (int i = 0; i < 5000; i++) {
            if (!out.isEmpty() && random.nextInt(5) < 2) {
                int victim = random.nextInt(out.size());
                check(out.remove(victim), marks.remove(victim), seed);
            } else {
                RegionBuf buffer = slabs.tryAllocate(8 + random.nextInt(random.nextInt(8) == 0 ? 3 * MIB : 20_000));
                if (buffer != null) {
                    buffer.setInt(0, i).setInt(buffer.capacity() - 4, i);
                    out.add(buffer);
                    marks.add(i);
                }
            }
        }
        while (!out.isEmpty()) {
            check(out.remove(0), marks.remove(0), seed);
        }
    }

    private static void check(RegionBuf buffer, int mark, long seed) {
        assertThat(buffer.getInt(0)).as("seed %d", seed).isEqualTo(mark);
        assertThat(buffer.getInt(buffer.capacity() - 4)).as("seed %d", seed).isEqualTo(mark);
        buffer.release();
    }

    @Test
    void usesBuffersAgain() {
        Set<Long> addresses = new HashSet<>();
        for (int i = 0; i < 1000; i++) {
            RegionBuf buffer = slabs.tryAllocate(5000);
            addresses.add(buffer.memoryAddress());
            buffer.retain();
            assertThat(buffer.release()).isFalse();
            assertThat(slabs.buffersInUse()).isOne();
            assertThat(buffer.release()).isTrue();
            assertThatThrownBy(buffer::release).isInstanceOf(IllegalReferenceCountException.class);
        }
        assertThat(addresses).hasSize(1);
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore + 1);
    }

    @Test
    void answersNullWhenBudgetIsUsedUp() {
        List<RegionBuf> out = new ArrayList<>();
        RegionBuf buffer;
        while ((buffer = slabs.tryAllocate(MIB)) != null) {
            out.add(buffer);
        }

        assertThat(out).hasSize(16);
        assertThat(slabs.tryAllocate(1)).isNull();
        AtomicInteger calls = new AtomicInteger();
        MemoryBudget.Waiter place = budget.newWaiter(calls::incrementAndGet);
        place.await(MIB);
        out.remove(0).release();
        assertThat(calls).hasValue(1);
        place.letGo();
        assertThat(slabs.tryAllocate(MIB + 1)).isNull();
        out.add(slabs.tryAllocate(MIB));
        out.forEach(RegionBuf::release);
        assertThat(calls).hasValue(1);
    }

    @Test
    void letsOneRequestThroughThatIsLargerThanTheBudget() {
        RegionBuf large = slabs.tryAllocate(20 * MIB);
        assertThat(large).isNotNull();
        assertThat(slabs.tryAllocate(1)).isNull();
        large.release();

        RegionBuf small = slabs.tryAllocate(1);
        assertThat(slabs.tryAllocate(20 * MIB)).isNull();
        small.release();
    }

    @Test
    void keepsReleasedLargeBuffersUpToTheLimit() {
        RegionBuf one = slabs.tryAllocate(4 * MIB);
        RegionBuf two = slabs.tryAllocate(4 * MIB);
        long address = one.memoryAddress();
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore + 2);

        one.release(); // kept
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore + 2);
        two.release(); // beyond the limit
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore + 1);

        RegionBuf again = slabs.tryAllocate(3 * MIB);
        assertThat(again.memoryAddress()).isEqualTo(address);
        RegionBuf other = slabs.tryAllocate(4 * MIB);
        other.release(); // kept, as the first is out again
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore + 2);
        again.release();
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore + 1);
    }

    @Test
    void unmapsWhenLastBufferComesBackAfterClose() {
        RegionBuf small = slabs.tryAllocate(4096);
        RegionBuf large = slabs.tryAllocate(2 * MIB);
        slabs.tryAllocate(2 * MIB).release();

        slabs.close();
        slabs.close();

        assertThatThrownBy(() -> slabs.tryAllocate(1)).isInstanceOf(IllegalStateException.class);
        small.setInt(0, 1);
        large.setInt(0, 1);
        large.release();
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore + 1);
        small.setInt(0, 2);
        small.release();
        assertThat(MappedRegion.liveRegions()).isEqualTo(regionsBefore);
    }

    @Test
    void allocatesNothingInSteadyState() {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        RegionBuf[] out = new RegionBuf[8];
        for (int i = 0; i < 5000; i++) {
            takeAndGiveBack(out);
        }

        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 5000; i++) {
            takeAndGiveBack(out);
        }

        assertThat(threads.getCurrentThreadAllocatedBytes() - before).isLessThan(5000);
    }

    private void takeAndGiveBack(RegionBuf[] out) {
        for (int i = 0; i < out.length; i++) {
            out[i] = slabs.tryAllocate(4096 << (i & 3));
        }
        for (RegionBuf buffer : out) {
            buffer.release();
        }
        slabs.tryAllocate(2 * MIB).release();
    }
}

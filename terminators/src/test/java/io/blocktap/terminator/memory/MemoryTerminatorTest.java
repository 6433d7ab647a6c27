package io.blocktap.terminator.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.testkit.AllocationProbe;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TerminatorContractTest;
import io.blocktap.pipeline.testkit.TestClient;
import io.blocktap.transport.memory.MappedRegion;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** The contract, and what only a sparse disk does. */
final class MemoryTerminatorTest extends TerminatorContractTest {
    private static final long PETABYTE = 1L << 50;
    private static final int PAGE = 4096;

    @Override
    protected Stage makeTerminator() {
        return new MemoryTerminator(new MemoryConfig((12 << 20) + 1000));
    }

    private static byte[] filled(int length, int value) {
        byte[] data = new byte[length];
        Arrays.fill(data, (byte) value);
        return data;
    }

    private static MemoryTerminator create(String text) throws Exception {
        StageText word = StageText.parse(text);
        return (MemoryTerminator) new MemoryFactory().create(OptionValues.parse(word, MemoryConfig.OPTIONS));
    }

    @Test
    void aPetabyteTakesRamOnlyWhereItIsWritten() throws Exception {
        MemoryTerminator memory = create("memory:1P");
        try (StageHarness harness = StageHarness.open(memory)) {
            TestClient client = harness.client();
            long[] places = {0, 1, PETABYTE - PAGE, PETABYTE / 2 - 2, 123_456_789_012_345L};
            byte[] data = filled(PAGE, 7);

            assertThat(client.read(PETABYTE / 3, PAGE)).isEqualTo(new byte[PAGE]);
            assertThat(memory.usedBytes()).isZero();
            for (long place : places) {
                client.write(place, data);
            }

            for (long place : places) {
                assertThat(client.read(place, PAGE)).as("at %d", place).isEqualTo(data);
            }
            assertThat(memory.usedBytes()).isBetween(4L * PAGE, 8L * PAGE);
            client.discard(0, PETABYTE);
            assertThat(memory.usedBytes()).isZero();
            assertThat(client.read(PETABYTE - PAGE, PAGE)).isEqualTo(new byte[PAGE]);
        }
    }

    @Test
    void theLargestSizeWorks() throws Exception {
        long size = Long.MAX_VALUE;
        try (StageHarness harness = StageHarness.open(new MemoryTerminator(new MemoryConfig(size)))) {
            harness.client().write(size - 3, filled(3, 1));

            assertThat(harness.client().read(size - 4, 4)).containsExactly(0, 1, 1, 1);
            harness.client().zero(0, size);
            assertThat(harness.client().read(size - 4, 4)).containsOnly(0);
        }
    }

    @Test
    void readingAllocatesNothing() throws Exception {
        MemoryTerminator memory = create("memory:64M");
        int regions = MappedRegion.liveRegions();
        try (StageHarness harness = StageHarness.open(memory)) {
            for (int i = 0; i < 64; i++) {
                harness.client().read((long) i << 20, 4096);
            }

            // The slab that the requests' own buffers came from is the only new mapping.
            assertThat(MappedRegion.liveRegions()).isEqualTo(regions + 1);
            assertThat(memory.usedBytes()).isZero();
        }
    }

    @Test
    void discardGivesPagesBackToTheSystem() throws Exception {
        try (StageHarness harness = StageHarness.open(create("memory:256M"))) {
            int part = 8 << 20;
            byte[] data = filled(part, 3);
            long before = residentKiB();
            for (int i = 0; i < 16; i++) {
                harness.client().write((long) i * part, data);
            }
            long full = residentKiB();

            harness.client().discard(0, 128L << 20);

            long after = residentKiB();
            assertThat(full - before).as("KiB taken").isGreaterThan(120 << 10);
            assertThat(full - after).as("KiB given back").isGreaterThan(120 << 10);
        }
    }

    private static long residentKiB() throws Exception {
        for (String line : java.nio.file.Files.readAllLines(java.nio.file.Path.of("/proc/self/status"))) {
            if (line.startsWith("RssAnon:")) {
                return Long.parseLong(line.replaceAll("\\D", ""));
            }
        }
        throw new AssertionError("no RssAnon in /proc/self/status");
    }

    @Test
    void theLimitBoundsRamAndDiscardMakesRoom() throws Exception {
        MemoryTerminator memory = create("memory:1G,limit=1M");
        try (StageHarness harness = StageHarness.open(memory)) {
            TestClient client = harness.client();
            client.write(0, filled(1 << 20, 1));

            client.call(BlockOp.WRITE, 512L << 20, PAGE).with(BlockStatus.NO_SPACE);
            assertThat(memory.usedBytes()).isEqualTo(1 << 20);
            client.write(100, filled(5000, 2)); // what has its pages can be written still
            client.discard(PAGE, PAGE);
            client.write(512L << 20, filled(PAGE, 4));

            assertThat(client.read(512L << 20, PAGE)).isEqualTo(filled(PAGE, 4));
            client.call(BlockOp.WRITE, PAGE, PAGE).with(BlockStatus.NO_SPACE);
            assertThat(memory.usedBytes()).isEqualTo(1 << 20);
        }
    }

    @Test
    void aRefusedWriteUsesNothingUp() throws Exception {
        MemoryTerminator memory = create("memory:1G,limit=64K");
        try (StageHarness harness = StageHarness.open(memory)) {
            for (int i = 0; i < 50; i++) {
                harness.client().call(BlockOp.WRITE, i * 1_000_000L, 128 << 10).with(BlockStatus.NO_SPACE);
            }

            assertThat(memory.usedBytes()).isZero();
            harness.client().write(0, filled(64 << 10, 1));
        }
    }

    @Test
    void zeroesThatKeepTheirRangeAllocatedStayCounted() throws Exception {
        MemoryTerminator memory = create("memory:1G,limit=8M");
        try (StageHarness harness = StageHarness.open(memory)) {
            TestClient client = harness.client();
            client.write(0, filled(PAGE, 9));

            client.call(BlockOp.WRITE_ZEROES, BlockRequest.KEEP_ALLOCATED, 0, 8 << 20, new byte[0])
                    .ok();

            assertThat(memory.usedBytes()).isEqualTo(8 << 20);
            assertThat(client.read(0, PAGE)).containsOnly(0);
            client.write(3 << 20, filled(PAGE, 5));
            client.call(BlockOp.WRITE, 9 << 20, PAGE).with(BlockStatus.NO_SPACE);
            client.call(BlockOp.WRITE_ZEROES, BlockRequest.KEEP_ALLOCATED, 9 << 20, PAGE, new byte[0])
                    .with(BlockStatus.NO_SPACE);
        }
    }

    @Test
    void discardsThatRaceWithReadsAndWritesLeaveOldDataOrZeroes() throws Exception {
        MemoryTerminator memory = create("memory:16M");
        try (StageHarness harness = StageHarness.openOn(2, memory)) {
            TestClient writer = harness.client();
            TestClient discarder = harness.connect();
            int length = 4 << 20;
            long seed = System.nanoTime();
            Random random = new Random(seed);
            List<CompletableFuture<?>> all = new ArrayList<>();
            for (int round = 0; round < 150; round++) {
                int offset = random.nextInt(length);
                int count = 1 + random.nextInt(64 << 10);
                all.add(writer.send(BlockOp.WRITE, 0, offset, count, filled(count, 0x77)));
                all.add(discarder.send(BlockOp.DISCARD, 0, random.nextInt(length), 64 << 10, new byte[0]));
                all.add(writer.send(BlockOp.READ, 0, offset, count, new byte[0]).thenAccept(reply -> {
                    for (byte value : reply.ok().data()) {
                        if (value != 0 && value != 0x77) {
                            throw new AssertionError("read " + value + ", seed " + seed);
                        }
                    }
                }));
            }
            all.forEach(TestClient::await);

            // Whatever the race did, what reads as data is counted, and one more discard frees it all.
            byte[] now = writer.read(0, length + (128 << 10));
            long pagesWithData = 0;
            for (int page = 0; page < now.length / PAGE; page++) {
                boolean isZero = Arrays.mismatch(now, page * PAGE, (page + 1) * PAGE, new byte[PAGE], 0, PAGE) == -1;
                pagesWithData += isZero ? 0 : 1;
            }
            assertThat(memory.usedBytes()).isGreaterThanOrEqualTo(pagesWithData * PAGE);
            writer.discard(0, 16 << 20);
            assertThat(memory.usedBytes()).isZero();
            assertThat(writer.read(0, length)).containsOnly(0);
        }
    }

    @Test
    void allocatesNothingForARequest() throws Exception {
        try (StageHarness harness = StageHarness.open(create("memory:8M"))) {
            for (BlockOp op : List.of(BlockOp.WRITE, BlockOp.READ)) {
                AllocationProbe.Cost cost = AllocationProbe.measure(harness, op);

                assertThat(cost.bytes()).as("%s, %s", op, cost).isLessThan(1.0);
            }
        }
    }

    @Test
    void refusesImpossibleSettings() {
        assertThatThrownBy(() -> create("memory:0"))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("size=0")
                .hasMessageContaining("size=64M");
        assertThatThrownBy(() -> create("memory:1M,limit=100"))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("limit=100");
        assertThatThrownBy(() -> create("memory")).hasMessageContaining("needs size");
    }
}

package io.blocktap.pipeline.tap.xen;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.StageHarness;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TapdiskStatsTest {
    @TempDir
    Path directory;

    @Test
    void fieldsLieWhereXenHasThem() {
        ByteBuffer stats = ByteBuffer.allocate(TapdiskStats.SIZE_BYTES).order(ByteOrder.nativeOrder());

        TapdiskStats.fill(stats, 11, 11 * 4096, 22, 22 * 512, 3);

        // struct vbd3_stats of Xen 4.19, tools/libs/stat/xenstat_priv.h: u32 version, u32 padding, then u64 each
        assertThat(stats.capacity()).isEqualTo(2 * 4 + 11 * 8);
        assertThat(stats.getInt(0)).as("version").isEqualTo(1);
        assertThat(stats.getInt(4)).as("padding").isZero();
        assertThat(stats.getLong(8)).as("oo_reqs").isZero();
        assertThat(stats.getLong(16)).as("read_reqs_submitted").isEqualTo(11);
        assertThat(stats.getLong(24)).as("read_reqs_completed").isEqualTo(11);
        assertThat(stats.getLong(32)).as("read_sectors").isEqualTo(88);
        assertThat(stats.getLong(40)).as("read_total_ticks").isZero();
        assertThat(stats.getLong(48)).as("write_reqs_submitted").isEqualTo(22);
        assertThat(stats.getLong(56)).as("write_reqs_completed").isEqualTo(22);
        assertThat(stats.getLong(64)).as("write_sectors").isEqualTo(22);
        assertThat(stats.getLong(72)).as("write_total_ticks").isZero();
        assertThat(stats.getLong(80)).as("io_errors").isEqualTo(3);
        assertThat(stats.getLong(88)).as("flags").isZero();
    }

    @Test
    void folderThatSomebodyElseHasMadeIsNotUsed() throws Exception {
        Path victim = Files.createDirectory(directory.resolve("victim"));
        Files.createSymbolicLink(directory.resolve("td3-" + TapdiskStats.pid()), victim);
        AtomicInteger asked = new AtomicInteger();
        try (StageHarness harness = StageHarness.open(new ReferenceDisk(1 << 20, ReferenceDisk.Answering.AT_ONCE))) {
            DeviceStatus device = new DeviceStatus(7, 51712, harness.disk(), List.of(), 0);
            TapdiskStats stats = new TapdiskStats(directory, () -> {
                asked.incrementAndGet();
                return CompletableFuture.completedFuture(List.of(device));
            });
            Awaitility.await().until(() -> asked.get() > 1);
            stats.close();
        }

        assertThat(victim).isEmptyDirectory();
    }
}

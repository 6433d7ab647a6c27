package io.blocktap.terminator.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.qcow2.TestImages;
import io.blocktap.pipeline.testkit.AllocationProbe;
import io.blocktap.pipeline.testkit.StageHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class Qcow2AllocationTest {
    @TempDir
    private Path directory;

    @Test
    void readsOfClustersThatAreThereAllocateNothing() throws Exception {
        Path file = directory.resolve("disk.qcow2");
        TestImages.create(file, 8 << 20, 16, null, null);
        try (StageHarness harness = StageHarness.open(
                new Qcow2Factory().create(OptionValues.parse(StageText.parse("qcow2:" + file), Qcow2Config.OPTIONS)))) {
            harness.client().write(0, new byte[8 << 20]);
            harness.client().flush();

            assertThat(AllocationProbe.measure(harness, BlockOp.READ).bytes()).isLessThan(1.0);
        }
    }
}

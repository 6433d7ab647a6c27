package io.blocktap.interposer.cow;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.testkit.AllocationProbe;
import io.blocktap.pipeline.testkit.InterposerContractTest;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.StageHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** {@code cow} keeps the contract of all interposers. */
class CowContractTest {
    abstract static class Contract extends InterposerContractTest {
        abstract String text();

        @Override
        protected Stage makeInterposer() throws Exception {
            return new CowFactory().create(OptionValues.parse(StageText.parse(text()), CowConfig.OPTIONS));
        }

        @Override
        protected boolean isTransparent() {
            return false;
        }
    }

    @Nested
    class InFile extends Contract {
        @TempDir
        Path directory;

        private int count;

        @Override
        String text() {
            return "cow:" + directory.resolve(++count + ".qcow2");
        }
    }

    @Nested
    class InFileWithSmallClusters extends InFile {
        @Override
        String text() {
            return super.text() + ",cluster-size=512,l2-cache=64K";
        }
    }

    @Nested
    class InMemory extends Contract {
        @Override
        String text() {
            return "cow:memory,limit=16M";
        }

        @ParameterizedTest
        @EnumSource(names = {"READ", "WRITE"})
        void requestsToClustersThatAreThereAllocateNothing(BlockOp op) throws Exception {
            int size = 8 << 20;
            try (StageHarness harness =
                    StageHarness.open(makeInterposer(), new ReferenceDisk(size, ReferenceDisk.Answering.AT_ONCE))) {
                harness.client().write(0, new byte[size]);
                harness.client().flush();

                assertThat(AllocationProbe.measure(harness, op).bytes()).isLessThan(1.0);
            }
        }
    }
}

package io.blocktap.terminator.nulldisk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.testkit.AllocationProbe;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TerminatorContractTest;
import org.junit.jupiter.api.Test;

/** The contract, for a disk that keeps nothing. */
final class NullTerminatorTest extends TerminatorContractTest {
    @Override
    protected Stage makeTerminator() {
        return new NullTerminator(new NullConfig(16 << 20));
    }

    @Override
    protected boolean keepsData() {
        return false;
    }

    private static Stage create(String text) throws Exception {
        return new NullFactory().create(OptionValues.parse(StageText.parse(text), NullConfig.OPTIONS));
    }

    @Test
    void isAGigabyteUnlessToldOtherwise() throws Exception {
        try (StageHarness harness = StageHarness.open(create("null"))) {
            assertThat(harness.disk().geometry().sizeBytes()).isEqualTo(1 << 30);
        }
        try (StageHarness harness = StageHarness.open(create("null:size=3T"))) {
            assertThat(harness.disk().geometry().sizeBytes()).isEqualTo(3L << 40);
        }
    }

    @Test
    void allocatesNothingForARequest() throws Exception {
        try (StageHarness harness = StageHarness.open(makeTerminator())) {
            assertThat(AllocationProbe.measure(harness, BlockOp.READ).bytes()).isLessThan(1.0);
        }
    }

    @Test
    void refusesASizeOfZero() {
        assertThatThrownBy(() -> create("null:0"))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("size=0");
    }
}

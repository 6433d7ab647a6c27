package io.blocktap.interposer.template;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static org.assertj.core.api.Assertions.assertThat;

import com.google.inject.Guice;
import com.google.inject.Key;
import com.google.inject.TypeLiteral;
import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.testkit.AllocationProbe;
import io.blocktap.pipeline.testkit.InterposerContractTest;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.StageHarness;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The contract, and the numbers. */
final class CountInterposerTest extends InterposerContractTest {
    @Override
    protected Stage makeInterposer() {
        return new CountInterposer(new CountConfig(""));
    }

    @Test
    void countsEachOperationAndFailures() throws Exception {
        CountInterposer count = new CountInterposer(new CountConfig("here"));
        ReferenceDisk disk = new ReferenceDisk(1 << 20, AT_ONCE);
        try (StageHarness harness = StageHarness.open(count, disk)) {
            harness.client().write(0, new byte[512]);
            harness.client().read(0, 512);
            harness.client().read(512, 512);
            disk.failNext(BlockOp.READ, BlockStatus.IO_ERROR);
            harness.client().call(BlockOp.READ, 0, 512).with(BlockStatus.IO_ERROR);

            assertThat(count.requests(BlockOp.READ)).isEqualTo(3);
            assertThat(count.requests(BlockOp.WRITE)).isEqualTo(1);
            assertThat(count.requests(BlockOp.FLUSH)).isZero();
            assertThat(count.failed()).isEqualTo(1);
        }
    }

    @Test
    void isFoundByItsNameAndTakesItsLabel() throws Exception {
        Map<String, StageFactory> factories = Guice.createInjector(new CountModule())
                .getInstance(Key.get(new TypeLiteral<Map<String, StageFactory>>() {}));
        StageFactory factory = factories.get("count");

        OptionValues values = OptionValues.parse(StageText.parse("count:above-cow"), factory.options());

        assertThat(factory.name()).isEqualTo("count");
        assertThat(factory.create(values)).isInstanceOf(CountInterposer.class);
        assertThat(CountConfig.of(values).label()).isEqualTo("above-cow");
    }

    @Test
    void allocatesNothingForARequest() throws Exception {
        try (StageHarness harness = StageHarness.open(makeInterposer(), new ReferenceDisk(8 << 20, AT_ONCE))) {
            assertThat(AllocationProbe.measure(harness, BlockOp.READ).bytes()).isLessThan(1.0);
        }
    }
}

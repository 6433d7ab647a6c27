package io.blocktap.pipeline;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.StageHarness;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What gets into a chain, at the edges of the numbers. */
final class AdmissionTest {
    private StageHarness harness;

    @BeforeEach
    void open() throws Exception {
        harness = StageHarness.open(new ReferenceDisk(4096, ReferenceDisk.Answering.AT_ONCE));
    }

    @AfterEach
    void close() {
        harness.close();
    }

    private BlockStatus check(Geometry geometry, BlockOp op, int flags, long offset, long length) {
        BlockRequest request = harness.client().stream().newRequest().describe(op, flags, offset, length);
        return new Admission(geometry).check(request);
    }

    @Test
    void rangesAreCheckedWithoutOverflow() {
        Geometry largest = Geometry.ofSize(Long.MAX_VALUE);

        assertThat(check(largest, BlockOp.READ, 0, Long.MAX_VALUE - 1, 1)).isEqualTo(BlockStatus.OK);
        assertThat(check(largest, BlockOp.READ, 0, Long.MAX_VALUE, 0)).isEqualTo(BlockStatus.OK);
        assertThat(check(largest, BlockOp.READ, 0, Long.MAX_VALUE, 1)).isEqualTo(BlockStatus.OUT_OF_RANGE);
        assertThat(check(largest, BlockOp.READ, 0, 1, Long.MAX_VALUE)).isEqualTo(BlockStatus.OUT_OF_RANGE);
        assertThat(check(largest, BlockOp.READ, 0, Long.MAX_VALUE, Long.MAX_VALUE))
                .isEqualTo(BlockStatus.OUT_OF_RANGE);
        assertThat(check(largest, BlockOp.READ, 0, -1, 1)).isEqualTo(BlockStatus.OUT_OF_RANGE);
        assertThat(check(largest, BlockOp.READ, 0, Long.MIN_VALUE, Long.MIN_VALUE))
                .isEqualTo(BlockStatus.OUT_OF_RANGE);
        assertThat(check(largest, BlockOp.READ, 0, 1, -1)).isEqualTo(BlockStatus.OUT_OF_RANGE);
    }

    @Test
    void theLastByteIsInsideAndTheNextIsNot() {
        Geometry geometry = Geometry.ofSize(1000);

        assertThat(check(geometry, BlockOp.WRITE, 0, 999, 1)).isEqualTo(BlockStatus.OK);
        assertThat(check(geometry, BlockOp.WRITE, 0, 999, 2)).isEqualTo(BlockStatus.OUT_OF_RANGE);
        assertThat(check(geometry, BlockOp.WRITE, 0, 1000, 1)).isEqualTo(BlockStatus.OUT_OF_RANGE);
        assertThat(check(Geometry.ofSize(0), BlockOp.READ, 0, 0, 1)).isEqualTo(BlockStatus.OUT_OF_RANGE);
    }

    @Test
    void rangesAreMultiplesOfTheSmallestUnit() {
        Geometry geometry = Geometry.ofSize(8192).withMinimumIoBytes(512);

        assertThat(check(geometry, BlockOp.READ, 0, 512, 512)).isEqualTo(BlockStatus.OK);
        assertThat(check(geometry, BlockOp.READ, 0, 511, 512)).isEqualTo(BlockStatus.INVALID);
        assertThat(check(geometry, BlockOp.READ, 0, 512, 513)).isEqualTo(BlockStatus.INVALID);
        assertThat(check(geometry, BlockOp.READ, 0, 8191, 512)).isEqualTo(BlockStatus.OUT_OF_RANGE);
    }

    @Test
    void whatIsNotAdvertisedIsUnsupported() {
        Geometry bare = Geometry.ofSize(8192);

        assertThat(check(bare, BlockOp.FLUSH, 0, 0, 0)).isEqualTo(BlockStatus.UNSUPPORTED);
        assertThat(check(bare, BlockOp.DISCARD, 0, 0, 512)).isEqualTo(BlockStatus.UNSUPPORTED);
        assertThat(check(bare, BlockOp.WRITE_ZEROES, 0, 0, 512)).isEqualTo(BlockStatus.UNSUPPORTED);
        assertThat(check(bare, BlockOp.WRITE, BlockRequest.FUA, 0, 512)).isEqualTo(BlockStatus.UNSUPPORTED);
        assertThat(check(bare, BlockOp.READ, BlockRequest.FUA, 0, 512)).isEqualTo(BlockStatus.OK);

        Geometry zeroes = bare.withFeatures(Set.of(Feature.WRITE_ZEROES));
        assertThat(check(zeroes, BlockOp.WRITE_ZEROES, 0, 0, 512)).isEqualTo(BlockStatus.OK);
        assertThat(check(zeroes, BlockOp.WRITE_ZEROES, BlockRequest.FUA, 0, 512))
                .isEqualTo(BlockStatus.UNSUPPORTED);
        assertThat(check(zeroes, BlockOp.WRITE_ZEROES, BlockRequest.FAST_ONLY, 0, 512))
                .isEqualTo(BlockStatus.UNSUPPORTED);
        Geometry fast = bare.withFeatures(Set.of(Feature.WRITE_ZEROES, Feature.FAST_ZERO));
        assertThat(check(fast, BlockOp.WRITE_ZEROES, BlockRequest.FAST_ONLY, 0, 512))
                .isEqualTo(BlockStatus.OK);
    }

    @Test
    void aReadOnlyDiskRefusesAllThatWrites() {
        Geometry geometry =
                Geometry.ofSize(8192, Feature.READ_ONLY, Feature.DISCARD, Feature.WRITE_ZEROES, Feature.FLUSH);

        assertThat(check(geometry, BlockOp.READ, 0, 0, 512)).isEqualTo(BlockStatus.OK);
        assertThat(check(geometry, BlockOp.FLUSH, 0, 0, 0)).isEqualTo(BlockStatus.OK);
        for (BlockOp op : new BlockOp[] {BlockOp.WRITE, BlockOp.DISCARD, BlockOp.WRITE_ZEROES}) {
            assertThat(check(geometry, op, 0, 0, 512)).isEqualTo(BlockStatus.READ_ONLY);
            assertThat(check(geometry, op, 0, 8192, 512)).isEqualTo(BlockStatus.OUT_OF_RANGE);
        }
    }
}

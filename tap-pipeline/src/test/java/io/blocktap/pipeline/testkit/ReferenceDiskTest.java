package io.blocktap.pipeline.testkit;

import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.testkit.ReferenceDisk.Answering;

/** The contract test on the terminator that it compares others with. */
final class ReferenceDiskTest extends TerminatorContractTest {
    @Override
    protected Stage makeTerminator() {
        return new ReferenceDisk(4 << 20, Answering.FROM_WORKERS);
    }

    @Override
    protected Stage makeReadOnlyTerminator() {
        Geometry geometry = Geometry.ofSize(1 << 20, io.blocktap.pipeline.Feature.READ_ONLY);
        return new ReferenceDisk(geometry.withMinimumIoBytes(512), Answering.AT_ONCE);
    }
}

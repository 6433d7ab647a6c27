package io.blocktap.pipeline;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.testkit.InterposerContractTest;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.Reply;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.transport.memory.RegionBuf;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** A stage that reads what it is about to overwrite, by a request of its own, keeps the contract of all interposers. */
class SubRequestTest extends InterposerContractTest {
    @Override
    protected Stage makeInterposer() {
        return new ReadBeforeWrite();
    }

    @Test
    void stageSeesWhatStandsBelowBeforeTheWriteGoesOn() throws Exception {
        ReadBeforeWrite stage = new ReadBeforeWrite();
        try (StageHarness harness =
                StageHarness.open(stage, new ReferenceDisk(1 << 20, ReferenceDisk.Answering.FROM_WORKERS))) {
            byte[] first = new byte[4096];
            Arrays.fill(first, (byte) 1);
            byte[] second = new byte[4096];
            Arrays.fill(second, (byte) 2);

            harness.client().write(8192, first);
            harness.client().write(8192, second);

            assertThat(stage.lastSeen).isEqualTo(first);
            assertThat(harness.client().read(8192, 4096)).isEqualTo(second);
        }
    }

    @Test
    void subRequestPastWhatTheStageBelowOffersIsRefused() throws Exception {
        ReadBeforeWrite stage = new ReadBeforeWrite();
        stage.readOffset = 1 << 20;
        try (StageHarness harness =
                StageHarness.open(stage, new ReferenceDisk(1 << 20, ReferenceDisk.Answering.AT_ONCE))) {
            Reply reply = harness.client().call(BlockOp.WRITE, 0, 0, 512, new byte[512]);

            assertThat(reply.status()).isEqualTo(BlockStatus.OUT_OF_RANGE);
        }
    }

    private static final class ReadBeforeWrite implements Stage, RequestHook {
        private final SubRequestListener goOn = this::goOn;
        long readOffset;
        volatile byte[] lastSeen = {};

        @Override
        public Geometry open(StageContext context, @Nullable Geometry below) {
            return Objects.requireNonNull(below);
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            if (request.op() != BlockOp.WRITE) {
                return Verdict.PASS;
            }
            RegionBuf buffer = request.stream().memory().tryAllocate(request.dataLength());
            if (buffer == null) {
                return request.respond(BlockStatus.IO_ERROR);
            }
            request.stream()
                    .submitBelow(request.stream()
                            .newRequestBelow(request, goOn)
                            .describe(BlockOp.READ, 0, readOffset + request.offsetBytes(), request.lengthBytes())
                            .withData(buffer));
            return Verdict.STOLEN;
        }

        private void goOn(BlockResponse response) {
            BlockRequest read = response.request();
            if (response.status() == BlockStatus.OK) {
                byte[] seen = new byte[read.dataLength()];
                read.data().getBytes(0, seen);
                lastSeen = seen;
                read.parent().resume();
            } else {
                read.parent().complete(response.status());
            }
        }

        @Override
        public void close() {}
    }
}

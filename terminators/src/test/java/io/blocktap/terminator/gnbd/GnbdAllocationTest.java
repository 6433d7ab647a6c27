package io.blocktap.terminator.gnbd;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.RequestStream;
import io.blocktap.pipeline.tap.gnbd.GnbdServer;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestClient;
import io.netty.buffer.ByteBuf;
import java.lang.management.ManagementFactory;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a request costs on the home loop, between the stage above and the socket. */
@Timeout(60)
final class GnbdAllocationTest {
    private static final int SIZE = 8 << 20;
    private static final int DEPTH = 16;
    private static final int WARM_UP = 30_000;
    private static final int MEASURED = 30_000;

    /** Keeps requests in flight. On the home loop. */
    private static final class Load implements RequestStream.Sink {
        private final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        private final CompletableFuture<Double> bytesPerRequest = new CompletableFuture<>();
        private final BlockOp op;
        private final int length;
        private RequestStream stream;
        private int submitted;
        private int answered;
        private int due = DEPTH;
        private long bytesBefore;

        Load(BlockOp op, int length) {
            this.op = op;
            this.length = length;
        }

        void begin(Disk disk) {
            try {
                stream = disk.openStream(disk.connect("test", "load"), disk.home(), this);
                flush();
            } catch (Exception e) {
                bytesPerRequest.completeExceptionally(e);
            }
        }

        @Override
        public void answer(BlockResponse response) {
            if (response.status() != BlockStatus.OK) {
                bytesPerRequest.completeExceptionally(new AssertionError(response.toString()));
            }
            due++;
            answered++;
            if (answered == WARM_UP) {
                bytesBefore = threads.getCurrentThreadAllocatedBytes();
            } else if (answered == WARM_UP + MEASURED) {
                long bytes = threads.getCurrentThreadAllocatedBytes() - bytesBefore;
                stream.whenIdle(() -> {
                    stream.session().disk().closeStream(stream);
                    bytesPerRequest.complete((double) bytes / MEASURED);
                });
            }
        }

        @Override
        public void flush() {
            while (due > 0 && submitted < WARM_UP + MEASURED) {
                due--;
                submitted++;
                ByteBuf data = stream.memory().tryAllocate(length);
                BlockRequest request =
                        stream.newRequest().describe(op, 0, (long) submitted * length % (SIZE - length), length);
                stream.submit(request.withData(data));
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"READ, 4096", "WRITE, 4096", "READ, 65536", "WRITE, 65536"})
    void allocatesNothingForARequest(BlockOp op, int length) throws Exception {
        try (GnbdServer server = new GnbdServer("", new ReferenceDisk(SIZE, ReferenceDisk.Answering.AT_ONCE));
                StageHarness harness = StageHarness.open(Terminators.make(server.port(), ""))) {
            Load load = new Load(op, length);
            harness.disk().home().execute(() -> load.begin(harness.disk()));

            assertThat(TestClient.await(load.bytesPerRequest))
                    .as("bytes a request")
                    .isLessThan(2.0);
        }
    }
}

package io.blocktap.pipeline;

import static io.blocktap.pipeline.testkit.ReferenceDisk.Answering.AT_ONCE;
import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import io.blocktap.pipeline.testkit.ReferenceDisk;
import io.blocktap.pipeline.testkit.StageHarness;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A hook that fails on every request does not fill the disk with its traces. */
final class HookFailuresTest {
    private final ListAppender<ILoggingEvent> log = new ListAppender<>();

    /** Fails on every request, with one of two exceptions. */
    private static final class Failing implements Stage, RequestHook {
        @Override
        public Geometry open(StageContext context, Geometry below) {
            return below;
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            if (request.op() == BlockOp.FLUSH) {
                return Verdict.PASS;
            }
            throw request.offsetBytes() == 0 ? new IllegalStateException("one") : new IllegalArgumentException("other");
        }

        @Override
        public void close() {
            // nothing was opened
        }
    }

    @BeforeEach
    void listen() {
        log.start();
        ((Logger) Logs.CHAIN).addAppender(log);
    }

    @AfterEach
    void listenNoMore() {
        ((Logger) Logs.CHAIN).detachAppender(log);
    }

    @Test
    void logsTheFirstOfEachKindWithItsTraceAndNoneOfTheRestAtOnce() throws Exception {
        try (StageHarness harness = StageHarness.open(new Failing(), new ReferenceDisk(1 << 20, AT_ONCE))) {
            for (int i = 0; i < 1000; i++) {
                assertThat(harness.client().call(BlockOp.READ, i % 2 * 512, 512).status())
                        .isEqualTo(BlockStatus.IO_ERROR);
            }
        }

        List<ILoggingEvent> events = List.copyOf(log.list);
        assertThat(events.stream().filter(event -> event.getThrowableProxy() != null))
                .extracting(event -> event.getThrowableProxy().getMessage())
                .containsExactly("one", "other");
        assertThat(events).as("one line in ten seconds may follow").hasSizeLessThan(10);
    }
}

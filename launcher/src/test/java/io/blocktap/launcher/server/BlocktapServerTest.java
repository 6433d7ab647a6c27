package io.blocktap.launcher.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.DiskRegistry;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageModule;
import io.blocktap.pipeline.Tap;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.TapLoops;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** The end of a server: one failure keeps no other disk from its flush, and nothing is closed that is still in use. */
final class BlocktapServerTest {
    /** Notes what is done to it. */
    private static final class Probe implements Stage, RequestHook {
        private final Verdict onFlush;
        volatile boolean flushed;
        volatile boolean closed;

        Probe(Verdict onFlush) {
            this.onFlush = onFlush;
        }

        @Override
        public Geometry open(StageContext context, @Nullable Geometry below) {
            return Objects.requireNonNull(below);
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            if (request.op() != BlockOp.FLUSH) {
                return Verdict.PASS;
            }
            flushed = true;
            return onFlush;
        }

        @Override
        public void close() {
            closed = true;
        }
    }

    /** A tap that nobody can connect to. */
    private record QuietTap(RuntimeException onStop, RuntimeException onClose) implements Tap {
        @Override
        public List<String> uris() {
            return List.of();
        }

        @Override
        public CompletableFuture<Void> stopTaking() {
            return end(onStop);
        }

        @Override
        public CompletableFuture<Void> close() {
            return end(onClose);
        }

        private static CompletableFuture<Void> end(RuntimeException failure) {
            if (failure != null) {
                throw failure;
            }
            return CompletableFuture.completedFuture(null);
        }
    }

    private static final class QuietTaps extends StageModule {
        private final Tap tap;

        QuietTaps(Tap tap) {
            this.tap = tap;
        }

        @Override
        protected void configure() {
            bindTap("quiet").toInstance(new TapFactory() {
                @Override
                public String name() {
                    return "quiet";
                }

                @Override
                public String summary() {
                    return "a tap that nobody can connect to";
                }

                @Override
                public List<OptionSpec> options() {
                    return List.of();
                }

                @Override
                public Tap open(OptionValues values, DiskRegistry disks, TapLoops loops) {
                    return tap;
                }
            });
        }
    }

    private static BlocktapServer start(Tap tap, String drainTimeout, Probe... probes) throws Exception {
        BlocktapServer.Builder builder = BlocktapServer.builder()
                .modules(new QuietTaps(tap))
                .settings(ServerSettings.DEFAULT.with("test", ServerSettings.DRAIN_TIMEOUT, drainTimeout))
                .tap("quiet");
        for (int i = 0; i < probes.length; i++) {
            Probe probe = probes[i];
            builder.disk(new DiskSpec(
                    "d" + i, "", List.of(new DiskSpec.Made("probe", () -> probe), new DiskSpec.Word("memory:1M", ""))));
        }
        return builder.start();
    }

    @Test
    void aTapThatCanNotBeStoppedKeepsNoDiskFromItsFlush() throws Exception {
        Probe probe = new Probe(Verdict.PASS);
        BlocktapServer server = start(new QuietTap(new IllegalStateException("test"), null), "10s", probe);

        assertThatThrownBy(server::close)
                .isInstanceOf(StageException.class)
                .hasMessageContaining("a tap could not be stopped: java.lang.IllegalStateException: test");

        assertThat(probe.flushed).isTrue();
        assertThat(probe.closed).as("requests may still come").isFalse();
    }

    @Test
    void aTapThatCanNotBeClosedKeepsNoDiskOpen() throws Exception {
        Probe probe = new Probe(Verdict.PASS);

        start(new QuietTap(null, new IllegalStateException("test")), "10s", probe)
                .close();

        assertThat(probe.flushed).isTrue();
        assertThat(probe.closed).isTrue();
    }

    @Test
    void aDiskThatNeverDrainsKeepsNoOtherFromItsFlushAndClose() throws Exception {
        Probe stuck = new Probe(Verdict.STOLEN);
        Probe good = new Probe(Verdict.PASS);
        BlocktapServer server = start(new QuietTap(null, null), "200ms", stuck, good);

        assertThatThrownBy(server::close)
                .isInstanceOf(StageException.class)
                .hasMessageContaining("not drained within 200ms");

        assertThat(stuck.closed).as("it is at work still").isFalse();
        assertThat(good.flushed).isTrue();
        assertThat(good.closed).isTrue();
    }
}

package io.blocktap.launcher;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.StageModule;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.config.OptionSpec;
import io.blocktap.pipeline.config.OptionValues;
import java.util.List;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** Stages that misbehave, for {@code --module}. */
public final class TestStages extends StageModule {
    /** What a stage prints when it keeps a request. */
    static final String KEPT = "test stage: kept a request";

    /** What a stage prints when it hangs in its opening. */
    static final String OPENING = "test stage: opening, for ever";

    /** The byte of the disk that the stage {@code flip} shows wrongly. */
    public static final long FLIPPED_BYTE = 123_456;

    @Override
    protected void configure() {
        // answers reads half a second late
        bindStage("late").toInstance(new Simple("late", request -> {
            if (request.op() == BlockOp.READ) {
                request.stream().eventLoop().schedule(request::resume, 500, TimeUnit.MILLISECONDS);
                return kept();
            }
            return Verdict.PASS;
        }));
        // never answers reads
        bindStage("stuck")
                .toInstance(new Simple("stuck", request -> request.op() == BlockOp.READ ? kept() : Verdict.PASS));
        // changes a byte on its way to the disk
        bindStage("flip").toInstance(new Simple("flip", request -> {
            long at = FLIPPED_BYTE - request.offsetBytes();
            if (request.op() == BlockOp.WRITE && at >= 0 && at < request.lengthBytes()) {
                request.data().setByte((int) at, ~request.data().getByte((int) at));
            }
            return Verdict.PASS;
        }));
        // a disk whose flushes fail
        bindStage("no-flush")
                .toInstance(new Simple(
                        "no-flush",
                        request ->
                                request.op() == BlockOp.FLUSH ? request.respond(BlockStatus.IO_ERROR) : Verdict.PASS));
        // never answers a flush, and says nothing
        bindStage("mute-flush")
                .toInstance(new Simple(
                        "mute-flush", request -> request.op() == BlockOp.FLUSH ? Verdict.STOLEN : Verdict.PASS));
        // is never open, as a file of a dead server
        bindStage("hangs").toInstance(new Simple("hangs", request -> Verdict.PASS));
        // can not be closed
        bindStage("no-close").toInstance(new Simple("no-close", request -> Verdict.PASS));
    }

    private static Verdict kept() {
        System.err.println(KEPT);
        return Verdict.STOLEN;
    }

    private record Simple(String name, Function<BlockRequest, Verdict> hook) implements StageFactory {
        @Override
        public Kind kind() {
            return Kind.INTERPOSER;
        }

        @Override
        public String summary() {
            return "Misbehaves.";
        }

        @Override
        public List<OptionSpec> options() {
            return List.of();
        }

        @Override
        public Stage create(OptionValues values) {
            return new SimpleStage(name, hook);
        }
    }

    private static final class SimpleStage implements Stage, RequestHook {
        private final String name;
        private final Function<BlockRequest, Verdict> hook;

        SimpleStage(String name, Function<BlockRequest, Verdict> hook) {
            this.name = name;
            this.hook = hook;
        }

        @Override
        public Geometry open(StageContext context, @Nullable Geometry below) {
            if (name.equals("hangs")) {
                System.err.println(OPENING);
                new Semaphore(0).acquireUninterruptibly();
            }
            return java.util.Objects.requireNonNull(below);
        }

        @Override
        public Verdict onRequest(BlockRequest request) {
            return hook.apply(request);
        }

        @Override
        public void close() {
            if (name.equals("no-close")) {
                throw new AssertionError("can not be closed");
            }
        }
    }
}

package io.blocktap.interposer.template;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.ResponseHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.Verdict;
import java.util.Objects;
import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Counts the requests that pass, by operation, and those that failed; says the numbers in the log when the disk closes. */
public final class CountInterposer implements Stage, RequestHook, ResponseHook {
    private static final Logger LOG = LoggerFactory.getLogger(CountInterposer.class);

    private final CountConfig config;
    private final LongAdder[] requests = new LongAdder[BlockOp.values().length];
    private final LongAdder failed = new LongAdder();
    private String diskAndStage = "";

    /** Makes the stage; nothing is opened yet. */
    public CountInterposer(CountConfig config) {
        this.config = config;
        for (int i = 0; i < requests.length; i++) {
            requests[i] = new LongAdder();
        }
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) {
        diskAndStage = context.label();
        return Objects.requireNonNull(below, "count is no terminator"); // what is below, is what we offer
    }

    @Override
    public boolean isTransparent() {
        return true;
    }

    @Override
    public Sharing sharing() {
        return Sharing.THREAD_SAFE; // LongAdder is; without this, one event loop serves the whole disk
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        requests[request.op().ordinal()].increment();
        return Verdict.PASS;
    }

    @Override
    public void onResponse(BlockResponse response) {
        if (response.status() != BlockStatus.OK) {
            failed.increment();
        }
    }

    /** Returns how many requests of a kind have come so far. Any thread. */
    public long requests(BlockOp op) {
        return requests[op.ordinal()].sum();
    }

    /** Returns how many requests have failed so far. Any thread. */
    public long failed() {
        return failed.sum();
    }

    @Override
    public void close() {
        LOG.info(
                "[{}] {}{} reads, {} writes, {} flushes, {} discards, {} write-zeroes; {} failed",
                diskAndStage,
                config.label().isEmpty() ? "" : config.label() + ": ",
                requests(BlockOp.READ),
                requests(BlockOp.WRITE),
                requests(BlockOp.FLUSH),
                requests(BlockOp.DISCARD),
                requests(BlockOp.WRITE_ZEROES),
                failed());
    }
}

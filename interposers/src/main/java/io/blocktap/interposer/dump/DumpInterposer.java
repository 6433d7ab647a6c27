package io.blocktap.interposer.dump;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockResponse;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.ControlHook;
import io.blocktap.pipeline.ControlMessage;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.ResponseHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Shows what passes, one line each, and changes nothing. What a stage above has answered does not pass here; what stages above have
 * changed is shown as changed.
 *
 * <p>Any number of event loops. A request costs them two records of a few words; see {@link RecordRing}.
 */
public final class DumpInterposer implements Stage, RequestHook, ResponseHook, ControlHook {
    private static final long NOT_SHOWN = Long.MIN_VALUE;

    private final DumpConfig config;
    private final boolean[] shownOps = new boolean[BlockOp.values().length];
    private @Nullable DumpWriter writer;

    /** Makes the interposer; {@link #open} opens its sink. */
    public DumpInterposer(DumpConfig config) {
        this.config = config;
        config.ops().forEach(op -> shownOps[op.ordinal()] = true);
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) throws StageException {
        LineFormat format = config.json() ? new JsonFormat(context.diskName()) : new TextFormat(context.diskName());
        writer = new DumpWriter(
                context.label(), format, openSink(context), config.bufferBytes() / Long.BYTES, context.clock());
        return Objects.requireNonNull(below, "dump is no terminator");
    }

    private OutputStream openSink(StageContext context) throws StageException {
        if (config.file().equals("-")) {
            return new StandardOutput();
        }
        try {
            return new FileOutputStream(config.file(), true);
        } catch (IOException e) {
            throw new StageException(context.label() + ": can not append to " + e.getMessage(), e);
        }
    }

    /** The process's standard output without the buffers and locks of {@code System.out}; closing leaves it open. */
    private static final class StandardOutput extends FileOutputStream {
        StandardOutput() {
            super(FileDescriptor.out);
        }

        @Override
        public void close() {
            // it belongs to the process
        }
    }

    @Override
    public boolean isTransparent() {
        return true;
    }

    @Override
    public Sharing sharing() {
        return Sharing.THREAD_SAFE;
    }

    private DumpWriter writer() {
        return Objects.requireNonNull(writer, "not open");
    }

    @Override
    public void onControl(ControlMessage message) {
        writer().control(message);
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        if (!isShown(request)) {
            request.setWord(NOT_SHOWN);
            return Verdict.PASS;
        }
        long now = System.nanoTime();
        request.setWord(now);
        int dataBytes = request.op() == BlockOp.WRITE ? Math.min(config.hexBytes(), request.dataLength()) : 0;
        writer().push(DumpRecord.REQUEST, request, now, 0, dataBytes);
        return Verdict.PASS;
    }

    private boolean isShown(BlockRequest request) {
        BlockOp op = request.op();
        if (!shownOps[op.ordinal()]) {
            return false;
        }
        long offset = request.offsetBytes();
        return op == BlockOp.FLUSH
                || offset < config.endBytes() && offset + request.lengthBytes() > config.startBytes();
    }

    @Override
    public void onResponse(BlockResponse response) {
        BlockRequest request = response.request();
        long start = request.word();
        if (start == NOT_SHOWN) {
            return;
        }
        boolean filled = request.op() == BlockOp.READ && response.status() == BlockStatus.OK;
        int dataBytes = filled ? Math.min(config.hexBytes(), request.dataLength()) : 0;
        long now = System.nanoTime();
        writer().push(DumpRecord.RESPONSE, request, now, now - start, dataBytes);
    }

    @Override
    public void close() {
        writer().close();
    }
}

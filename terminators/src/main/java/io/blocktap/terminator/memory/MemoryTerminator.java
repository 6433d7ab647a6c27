package io.blocktap.terminator.memory;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.transport.sys.NativeException;
import io.netty.buffer.ByteBuf;
import java.util.EnumSet;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A sparse disk in RAM. What was never written, or was discarded, takes no memory and reads as zeroes.
 *
 * <p>Reads, writes and small discards are answered at once, on whichever loop they come from: one bulk copy a chunk. Only discards and
 * zeroes of more than {@link #INLINE_BYTES} go to the workers, because giving back gigabytes takes a while. FLUSH and FUA are
 * answered at once, too: nothing here is more stable than it was when it was written, and all of it ends with the server.
 */
public final class MemoryTerminator implements Stage, RequestHook {
    /** Discards and zeroes up to this length are done on the event loop. */
    static final long INLINE_BYTES = 4L << 20;

    private static final Logger LOG = LoggerFactory.getLogger(MemoryTerminator.class);
    private static final long CHUNK_MASK = ChunkTable.CHUNK_BYTES - 1;

    private final MemoryConfig config;
    private final ChunkTable table;
    private final RamBudget budget;
    private final WorkerPool.Work clearWork = this::clear;
    private final AtomicBoolean saidNoMemory = new AtomicBoolean();
    private @Nullable WorkerPool workers;
    private String label = "memory";

    /** Makes the terminator; it is empty. */
    public MemoryTerminator(MemoryConfig config) {
        this.config = config;
        this.table = new ChunkTable(config.sizeBytes());
        this.budget = new RamBudget(
                config.limitBytes() == Long.MAX_VALUE ? Long.MAX_VALUE : config.limitBytes() >>> Chunk.PAGE_SHIFT);
    }

    @Override
    public Geometry open(StageContext context, @Nullable Geometry below) {
        workers = context.workers();
        label = context.label();
        EnumSet<Feature> features = EnumSet.of(
                Feature.FLUSH,
                Feature.FUA,
                Feature.DISCARD,
                Feature.WRITE_ZEROES,
                Feature.FAST_ZERO,
                Feature.MULTI_CONNECTION);
        return new Geometry(config.sizeBytes(), 1, 512, 4096, 1 << Chunk.PAGE_SHIFT, 1, features);
    }

    @Override
    public Sharing sharing() {
        return Sharing.THREAD_SAFE;
    }

    /** Returns how many bytes of RAM the written pages take now. */
    public long usedBytes() {
        return budget.usedPages() << Chunk.PAGE_SHIFT;
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        return switch (request.op()) {
            case READ -> request.respond(read(request.offsetBytes(), request.data(), request.dataLength()));
            case WRITE -> request.respond(write(request.offsetBytes(), request.data(), request.dataLength()));
            case FLUSH -> request.respond(BlockStatus.OK);
            case DISCARD, WRITE_ZEROES -> clearHereOrLater(request);
        };
    }

    private BlockStatus read(long offsetBytes, ByteBuf data, int lengthBytes) {
        int done = 0;
        while (done < lengthBytes) {
            long at = offsetBytes + done;
            int inChunk = (int) (at & CHUNK_MASK);
            int part = Math.min(lengthBytes - done, ChunkTable.CHUNK_BYTES - inChunk);
            Chunk chunk = table.find(at >>> ChunkTable.CHUNK_SHIFT);
            if (chunk == null) {
                data.setZero(done, part);
            } else {
                chunk.read(inChunk, data, done, part);
            }
            done += part;
        }
        return BlockStatus.OK;
    }

    private BlockStatus write(long offsetBytes, ByteBuf data, int lengthBytes) {
        int done = 0;
        while (done < lengthBytes) {
            long at = offsetBytes + done;
            int inChunk = (int) (at & CHUNK_MASK);
            int part = Math.min(lengthBytes - done, ChunkTable.CHUNK_BYTES - inChunk);
            Chunk chunk = chunkToFill(at);
            if (chunk == null || !chunk.claim(inChunk, part, budget)) {
                return BlockStatus.NO_SPACE;
            }
            chunk.write(inChunk, data, done, part);
            chunk.confirm(inChunk, part, budget);
            done += part;
        }
        return BlockStatus.OK;
    }

    /** Returns the chunk of an offset, made if need be; null if there is no memory. */
    private @Nullable Chunk chunkToFill(long at) {
        long number = at >>> ChunkTable.CHUNK_SHIFT;
        Chunk present = table.find(number);
        if (present != null) {
            return present;
        }
        try {
            return table.findOrMake(number);
        } catch (NativeException | OutOfMemoryError e) {
            if (!saidNoMemory.getAndSet(true)) {
                LOG.warn(
                        "[{}] no memory for more data at {} ({} bytes in use), such writes are answered with 'no space' from now on: {}",
                        label,
                        at,
                        usedBytes(),
                        e.getMessage());
            }
            return null;
        }
    }

    private Verdict clearHereOrLater(BlockRequest request) {
        WorkerPool pool = workers;
        if (request.lengthBytes() <= INLINE_BYTES || pool == null) {
            return request.respond(clear(request));
        }
        pool.submit(request, clearWork);
        return Verdict.STOLEN;
    }

    private BlockStatus clear(BlockRequest request) {
        boolean keep = (request.flags() & BlockRequest.KEEP_ALLOCATED) != 0;
        long end = request.offsetBytes() + request.lengthBytes();
        return keep ? zeroKeeping(request.offsetBytes(), end) : free(request.offsetBytes(), end);
    }

    private BlockStatus free(long offsetBytes, long end) {
        long at = offsetBytes;
        while (at < end) {
            int inChunk = (int) (at & CHUNK_MASK);
            int part = (int) Math.min(end - at, ChunkTable.CHUNK_BYTES - inChunk);
            Chunk chunk = table.find(at >>> ChunkTable.CHUNK_SHIFT);
            if (chunk != null) {
                chunk.free(inChunk, part, budget);
                at += part;
            } else {
                at = startOfNext(at + part, end);
            }
        }
        return BlockStatus.OK;
    }

    /** Skips holes from a chunk's start on. */
    private long startOfNext(long at, long end) {
        if (at >= end) {
            return end;
        }
        long chunkEnd = (end - 1 >>> ChunkTable.CHUNK_SHIFT) + 1;
        long next = table.skipHoles(at >>> ChunkTable.CHUNK_SHIFT, chunkEnd);
        return next >= chunkEnd ? end : next << ChunkTable.CHUNK_SHIFT;
    }

    private BlockStatus zeroKeeping(long offsetBytes, long end) {
        long at = offsetBytes;
        while (at < end) {
            int inChunk = (int) (at & CHUNK_MASK);
            int part = (int) Math.min(end - at, ChunkTable.CHUNK_BYTES - inChunk);
            Chunk chunk = chunkToFill(at);
            if (chunk == null || !chunk.claim(inChunk, part, budget)) {
                return BlockStatus.NO_SPACE;
            }
            chunk.zeroKeeping(inChunk, part);
            chunk.confirm(inChunk, part, budget);
            at += part;
        }
        return BlockStatus.OK;
    }

    @Override
    public void close() {
        table.forEach(Chunk::close);
    }
}

package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.WorkerPool;
import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.pipeline.file.FileEngine;
import io.blocktap.transport.sys.Libc;
import java.nio.ByteBuffer;

/** An image in a file, by the same engine as that of a raw one. */
public final class FileStorage implements ImageStorage {
    private final BlockFile file;
    private final FileEngine engine;
    private final String name;

    /**
     * Takes over an open file, which should give zeroes behind its end.
     *
     * @param name for messages
     * @param file closed by {@link #close}; stays the caller's if this fails
     * @throws StageException if it is to be done by io_uring and there is none
     */
    public FileStorage(String name, BlockFile file, FileEngine.Io io, WorkerPool workers) throws StageException {
        this.name = name;
        this.file = file;
        this.engine = new FileEngine(file, io, workers);
    }

    /** Returns the file; it stays owned by this object. */
    public BlockFile file() {
        return file;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long sizeBytes() {
        return Math.max(0, file.currentSizeBytes());
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        return engine.start(request);
    }

    @Override
    public BlockStatus read(ByteBuffer into, long offsetBytes) {
        return file.read(file.cachedFd(), address(into), into.remaining(), offsetBytes);
    }

    @Override
    public BlockStatus write(ByteBuffer from, long offsetBytes) {
        return file.write(file.cachedFd(), address(from), from.remaining(), offsetBytes);
    }

    private static long address(ByteBuffer buffer) {
        return Libc.addressOf(buffer) + buffer.position();
    }

    @Override
    public BlockStatus sync() {
        return file.sync();
    }

    @Override
    public boolean isPoisoned() {
        return file.isPoisoned();
    }

    @Override
    public BlockStatus discard(long offsetBytes, long lengthBytes) {
        return file.discard(offsetBytes, lengthBytes);
    }

    @Override
    public void close() {
        engine.close();
    }
}

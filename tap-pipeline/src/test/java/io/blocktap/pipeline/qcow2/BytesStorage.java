package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.Verdict;
import java.nio.ByteBuffer;

/** An image's storage in memory, for what waits. */
class BytesStorage implements ImageStorage {
    static final String NAME = "bytes.qcow2";

    private final SparseBytes content;

    BytesStorage(SparseBytes content) {
        this.content = content;
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public long sizeBytes() {
        return content.size();
    }

    @Override
    public BlockStatus read(ByteBuffer into, long offsetBytes) {
        into.put(content.read(offsetBytes + into.position(), into.remaining()));
        return BlockStatus.OK;
    }

    @Override
    public BlockStatus write(ByteBuffer from, long offsetBytes) {
        byte[] bytes = new byte[from.remaining()];
        from.get(bytes);
        content.write(offsetBytes, bytes, 0, bytes.length);
        return BlockStatus.OK;
    }

    @Override
    public BlockStatus sync() {
        return BlockStatus.OK;
    }

    @Override
    public BlockStatus discard(long offsetBytes, long lengthBytes) {
        return BlockStatus.UNSUPPORTED;
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        return request.respond(BlockStatus.UNSUPPORTED);
    }

    @Override
    public void close() {}
}

package io.blocktap.pipeline;

/** What a disk lets in: the checks that every request of every tap has to pass, made once from the geometry. */
final class Admission {
    private final long sizeBytes;
    private final int alignmentMask;
    private final boolean readOnly;
    private final boolean flush;
    private final boolean fua;
    private final boolean discard;
    private final boolean writeZeroes;
    private final boolean fastZero;

    Admission(Geometry geometry) {
        sizeBytes = geometry.sizeBytes();
        alignmentMask = geometry.minimumIoBytes() - 1;
        readOnly = geometry.has(Feature.READ_ONLY);
        flush = geometry.has(Feature.FLUSH);
        fua = geometry.has(Feature.FUA);
        discard = geometry.has(Feature.DISCARD);
        writeZeroes = geometry.has(Feature.WRITE_ZEROES);
        fastZero = geometry.has(Feature.FAST_ZERO);
    }

    /** Returns {@link BlockStatus#OK}, or why the request may not go down the chain. */
    BlockStatus check(BlockRequest request) {
        BlockOp op = request.op();
        if (op == BlockOp.FLUSH) {
            return flush ? BlockStatus.OK : BlockStatus.UNSUPPORTED;
        }
        long offset = request.offsetBytes();
        long length = request.lengthBytes();
        if (offset < 0 || length < 0 || length > sizeBytes || offset > sizeBytes - length) {
            return BlockStatus.OUT_OF_RANGE;
        }
        if (((offset | length) & alignmentMask) != 0) {
            return BlockStatus.INVALID;
        }
        if (op == BlockOp.READ) {
            return BlockStatus.OK;
        }
        if (readOnly) {
            return BlockStatus.READ_ONLY;
        }
        if (op == BlockOp.DISCARD && !discard
                || op == BlockOp.WRITE_ZEROES && !writeZeroes
                || op == BlockOp.WRITE_ZEROES && !fastZero && (request.flags() & BlockRequest.FAST_ONLY) != 0
                || request.isFua() && !fua) {
            return BlockStatus.UNSUPPORTED;
        }
        return BlockStatus.OK;
    }
}

package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.RequestHook;
import io.blocktap.pipeline.Verdict;
import io.blocktap.pipeline.WorkerPool;
import java.nio.ByteBuffer;

/** Reads from compressed clusters: each request a part of one. The entry is the request's cookie. Any event loop; the work is done by workers. */
final class Inflation implements RequestHook {
    private final ImageStorage storage;
    private final Layout layout;
    private final Compression compression;
    private final WorkerPool workers;
    private final WorkerPool.Work work = this::inflate;

    Inflation(ImageStorage storage, Layout layout, Compression compression, WorkerPool workers) {
        this.storage = storage;
        this.layout = layout;
        this.compression = compression;
        this.workers = workers;
    }

    @Override
    public Verdict onRequest(BlockRequest request) {
        workers.submit(request, work);
        return Verdict.STOLEN;
    }

    private BlockStatus inflate(BlockRequest request) {
        long entry = request.cookie();
        ClusterInflater inflater = ClusterInflater.ofThisThread();
        ByteBuffer compressed = inflater.compressed(CompressedExtent.length(entry, layout));
        BlockStatus status = storage.read(compressed, CompressedExtent.offset(entry, layout));
        if (status != BlockStatus.OK) {
            return status;
        }
        ByteBuffer cluster = inflater.cluster(layout.clusterBytes());
        status = inflater.inflate(compressed.rewind(), cluster, compression);
        if (status == BlockStatus.OK) {
            int from = layout.offsetInCluster(request.offsetBytes());
            request.data().setBytes(0, cluster.clear().slice(from, request.dataLength()));
        }
        return status;
    }
}

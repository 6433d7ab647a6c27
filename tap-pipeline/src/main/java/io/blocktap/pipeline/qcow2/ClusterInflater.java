package io.blocktap.pipeline.qcow2;

import com.github.luben.zstd.ZstdDecompressCtx;
import com.github.luben.zstd.ZstdException;
import io.blocktap.pipeline.BlockStatus;
import io.netty.util.concurrent.FastThreadLocal;
import java.nio.ByteBuffer;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Decompresses clusters, with buffers and contexts of one thread. The compressed bytes may be followed by anything: their exact length is not known.
 *
 * <p>Sources: QEMU, {@code docs/interop/qcow2.txt}, "Compressed Clusters Descriptor"; RFC 1951; RFC 8878.
 */
final class ClusterInflater {
    private static final Logger LOG = LoggerFactory.getLogger(ClusterInflater.class);

    private static final FastThreadLocal<ClusterInflater> CURRENT = new FastThreadLocal<>() {
        @Override
        protected ClusterInflater initialValue() {
            return new ClusterInflater();
        }

        @Override
        protected void onRemoval(ClusterInflater value) {
            value.close();
        }
    };

    private final Inflater inflater = new Inflater(true);
    private @Nullable ZstdDecompressCtx zstd;
    private ByteBuffer compressed = ByteBuffer.allocateDirect(64 << 10);
    private ByteBuffer cluster = ByteBuffer.allocateDirect(64 << 10);

    /** Returns the calling thread's own. */
    static ClusterInflater ofThisThread() {
        return CURRENT.get();
    }

    /** Returns a buffer for compressed bytes, valid until the next call. */
    ByteBuffer compressed(int lengthBytes) {
        if (compressed.capacity() < lengthBytes) {
            compressed = ByteBuffer.allocateDirect(lengthBytes);
        }
        return compressed.clear().limit(lengthBytes);
    }

    /** Returns a buffer for a cluster, valid until the next call. */
    ByteBuffer cluster(int lengthBytes) {
        if (cluster.capacity() < lengthBytes) {
            cluster = ByteBuffer.allocateDirect(lengthBytes);
        }
        return cluster.clear().limit(lengthBytes);
    }

    /**
     * Fills a buffer.
     *
     * @param from direct
     * @param into direct; all of it is filled
     * @return IO_ERROR if the bytes are not what the compression makes, or too few
     */
    BlockStatus inflate(ByteBuffer from, ByteBuffer into, Compression compression) {
        boolean isWhole = compression == Compression.ZLIB ? inflateZlib(from, into) : inflateZstd(from, into);
        return isWhole ? BlockStatus.OK : BlockStatus.IO_ERROR;
    }

    private boolean inflateZlib(ByteBuffer from, ByteBuffer into) {
        inflater.reset();
        inflater.setInput(from);
        try {
            while (into.hasRemaining()) {
                if (inflater.inflate(into) == 0) {
                    break; // it has ended, wants a dictionary, or wants more
                }
            }
        } catch (DataFormatException e) {
            LOG.debug("a compressed cluster: {}", e.getMessage());
            return false;
        }
        return !into.hasRemaining();
    }

    private boolean inflateZstd(ByteBuffer from, ByteBuffer into) {
        ZstdDecompressCtx context = zstd;
        if (context == null) {
            context = new ZstdDecompressCtx();
            zstd = context;
        }
        context.reset();
        try {
            while (into.hasRemaining()) {
                int before = into.remaining() + from.remaining();
                boolean hasFrameEnded = context.decompressDirectByteBufferStream(into, from);
                if (!hasFrameEnded && into.remaining() + from.remaining() == before) {
                    break; // it wants more
                }
            }
        } catch (ZstdException e) {
            LOG.debug("a compressed cluster: {}", e.getMessage());
            return false;
        }
        return !into.hasRemaining();
    }

    private void close() {
        inflater.end();
        if (zstd != null) {
            zstd.close();
        }
    }
}

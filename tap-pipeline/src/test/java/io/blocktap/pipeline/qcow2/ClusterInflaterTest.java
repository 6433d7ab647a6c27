package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import com.github.luben.zstd.Zstd;
import io.blocktap.pipeline.BlockStatus;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.Deflater;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class ClusterInflaterTest {
    private static final int CLUSTER = 64 << 10;

    private final ClusterInflater inflater = ClusterInflater.ofThisThread();

    private static byte[] content(long seed) {
        byte[] content = new byte[CLUSTER];
        Random random = new Random(seed);
        for (int i = 0; i < CLUSTER; i += 16) {
            content[i] = (byte) random.nextInt(1 + (int) seed % 200);
        }
        return content;
    }

    private static byte[] compress(byte[] content, Compression compression) {
        if (compression == Compression.ZSTD) {
            return Zstd.compress(content);
        }
        Deflater deflater = new Deflater(Deflater.DEFAULT_COMPRESSION, true);
        deflater.setInput(content);
        deflater.finish();
        byte[] buffer = new byte[2 * CLUSTER];
        int length = deflater.deflate(buffer);
        deflater.end();
        return Arrays.copyOf(buffer, length);
    }

    private BlockStatus inflate(byte[] bytes, ByteBuffer into, Compression compression) {
        ByteBuffer compressed = inflater.compressed(bytes.length);
        compressed.put(bytes).flip();
        return inflater.inflate(compressed, into, compression);
    }

    @ParameterizedTest
    @EnumSource
    void whatFollowsTheDataIsIgnored(Compression compression) {
        for (int seed = 1; seed < 40; seed++) {
            byte[] content = content(seed);
            byte[] compressed = compress(content, compression);
            byte[] padded = Arrays.copyOf(compressed, compressed.length + seed * 13);
            Arrays.fill(padded, compressed.length, padded.length, (byte) seed);

            ByteBuffer into = inflater.cluster(CLUSTER);
            assertThat(inflate(padded, into, compression)).isEqualTo(BlockStatus.OK);

            byte[] inflated = new byte[CLUSTER];
            into.clear().get(inflated);
            assertThat(inflated).isEqualTo(content);
        }
    }

    @ParameterizedTest
    @EnumSource
    void bytesThatEndTooSoonOrAreNoneFail(Compression compression) {
        byte[] compressed = compress(content(7), compression);
        for (int length = 0; length < compressed.length - 8; length += 1 + compressed.length / 50) {
            assertThat(inflate(Arrays.copyOf(compressed, length), inflater.cluster(CLUSTER), compression))
                    .as("%d of %d bytes", length, compressed.length)
                    .isEqualTo(BlockStatus.IO_ERROR);
        }
        Random random = new Random(3);
        for (int i = 0; i < 200; i++) {
            byte[] rubbish = new byte[100 + random.nextInt(2000)];
            random.nextBytes(rubbish);
            assertThat(inflate(rubbish, inflater.cluster(CLUSTER), compression))
                    .isIn(BlockStatus.IO_ERROR, BlockStatus.OK);
        }
        assertThat(inflate(compressed, inflater.cluster(CLUSTER), compression))
                .as("after all that")
                .isEqualTo(BlockStatus.OK);
    }
}

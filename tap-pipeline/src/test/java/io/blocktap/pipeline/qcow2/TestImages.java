package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.pipeline.file.FileEngine;
import io.blocktap.pipeline.testkit.TestPool;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Empty images for tests. */
public final class TestImages {
    private TestImages() {}

    /** Makes an image of a disk of the given size. */
    public static void create(
            Path file, long sizeBytes, int clusterBits, @Nullable Path backing, @Nullable String backingFormat)
            throws Exception {
        try (TestPool workers = new TestPool(1)) {
            BlockFile open = BlockFile.open(
                    file, BlockFile.Access.READ_WRITE, BlockFile.Caching.CACHED, 512, BlockFile.PastEnd.ZEROES);
            try (FileStorage storage = new FileStorage(file.toString(), open, FileEngine.Io.THREADS, workers)) {
                Qcow2Format.create(
                        storage,
                        sizeBytes,
                        clusterBits,
                        backing == null ? null : BackingName.of(file, backing),
                        backingFormat);
            }
        }
    }
}

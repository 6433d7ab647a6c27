package io.blocktap.terminator.qcow2;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.file.UringLoop;
import io.blocktap.pipeline.qcow2.TestImages;
import io.blocktap.pipeline.testkit.TerminatorContractTest;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.io.TempDir;

/** {@code qcow2} keeps the contract of all terminators, with large and small clusters, alone and with something below. */
class Qcow2ContractTest {
    private static final int SIZE = 4 << 20;

    abstract static class Contract extends TerminatorContractTest {
        @TempDir
        Path directory;

        private int count;

        abstract int clusterBits();

        String options() {
            return "";
        }

        void makeImage(Path file) throws Exception {
            TestImages.create(file, SIZE, clusterBits(), null, null);
        }

        @Override
        protected Stage makeTerminator() throws Exception {
            count++;
            makeImage(directory.resolve(count + ".qcow2"));
            return reopen();
        }

        @Override
        protected Stage reopen() throws Exception {
            return create(directory.resolve(count + ".qcow2") + options());
        }

        @Override
        protected Stage makeReadOnlyTerminator() throws Exception {
            makeTerminator();
            return create(directory.resolve(count + ".qcow2") + ",read-only" + options());
        }

        private static Stage create(String text) throws Exception {
            return new Qcow2Factory().create(OptionValues.parse(StageText.parse("qcow2:" + text), Qcow2Config.OPTIONS));
        }
    }

    @Nested
    class WithUsualClusters extends Contract {
        @Override
        int clusterBits() {
            return 16;
        }
    }

    /** So that tables, refcount blocks and what is kept of them come and go. */
    @Nested
    class WithSmallestClusters extends Contract {
        @Override
        int clusterBits() {
            return 9;
        }

        @Override
        String options() {
            return ",l2-cache=64K,io=threads";
        }
    }

    @Nested
    class WithLargestClusters extends Contract {
        @Override
        int clusterBits() {
            return 21;
        }
    }

    @Nested
    class WithUring extends WithUsualClusters {
        @BeforeEach
        void requireUring() {
            Assumptions.assumeTrue(UringLoop.isAvailable(), () -> "no io_uring: " + UringLoop.unavailabilityReason());
        }

        @Override
        String options() {
            return ",io=uring";
        }
    }

    /** On a qcow2 image that is shorter, which is on a raw one that is shorter and not of whole clusters. */
    @Nested
    class WithImagesBelow extends Contract {
        @Override
        int clusterBits() {
            return 12;
        }

        @Override
        void makeImage(Path file) throws Exception {
            Path raw = directory.resolve("base.img");
            byte[] content = new byte[SIZE / 2 + 700];
            new Random(1).nextBytes(content);
            Files.write(raw, content);
            Path middle = directory.resolve("middle.qcow2");
            if (!Files.exists(middle)) {
                TestImages.create(middle, SIZE / 4 * 3, 14, raw, "raw");
            }
            TestImages.create(file, SIZE, clusterBits(), middle, "qcow2");
        }
    }
}

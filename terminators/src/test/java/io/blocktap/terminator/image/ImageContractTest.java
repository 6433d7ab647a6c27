package io.blocktap.terminator.image;

import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.file.UringLoop;
import io.blocktap.pipeline.testkit.TerminatorContractTest;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.io.TempDir;

/** {@code image} keeps the contract of all terminators, by every way that a request can take to the file. */
class ImageContractTest {
    abstract static class Contract extends TerminatorContractTest {
        @TempDir
        Path directory;

        private int count;

        abstract String options();

        @Override
        protected Stage makeTerminator() throws Exception {
            count++;
            return create("image:" + directory.resolve(count + ".img") + ",size=4M" + options());
        }

        @Override
        protected Stage reopen() throws Exception {
            return create("image:" + directory.resolve(count + ".img") + options());
        }

        @Override
        protected Stage makeReadOnlyTerminator() throws Exception {
            Path file = directory.resolve("read-only.img");
            try (var channel = java.nio.channels.FileChannel.open(
                    file, java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.WRITE)) {
                channel.write(java.nio.ByteBuffer.allocate(1), (4 << 20) - 1);
            }
            return create("image:" + file + ",read-only" + options());
        }

        private static Stage create(String text) throws Exception {
            return new ImageFactory().create(OptionValues.parse(StageText.parse(text), ImageConfig.OPTIONS));
        }
    }

    @Nested
    class WithThreads extends Contract {
        @Override
        String options() {
            return ",io=threads";
        }
    }

    @Nested
    class OnTheLoop extends Contract {
        @Override
        String options() {
            return ",io=loop";
        }
    }

    @Nested
    class WithUring extends Contract {
        @BeforeEach
        void requireUring() {
            Assumptions.assumeTrue(UringLoop.isAvailable(), () -> "no io_uring: " + UringLoop.unavailabilityReason());
        }

        @Override
        String options() {
            return ",io=uring";
        }
    }

    @Nested
    class DirectWithThreads extends Contract {
        @Override
        String options() {
            return ",direct=on,io=threads";
        }
    }

    @Nested
    class DirectWithUring extends WithUring {
        @Override
        String options() {
            return ",direct=on,io=uring";
        }
    }
}

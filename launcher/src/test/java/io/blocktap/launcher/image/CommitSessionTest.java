package io.blocktap.launcher.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.qcow2.OwnContent;
import io.blocktap.pipeline.qcow2.TestImages;
import io.blocktap.pipeline.testkit.StageHarness;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** An overlay that is written back, at once or by and by. */
@Timeout(60)
class CommitSessionTest {
    private static final int MIB = 1 << 20;
    private static final int SIZE = 16 * MIB;

    @TempDir
    private Path directory;

    private Path base;
    private Path overlay;
    private byte[] expected;

    @BeforeEach
    void makeOverlay() throws Exception {
        base = directory.resolve("base.img");
        overlay = directory.resolve("overlay.qcow2");
        expected = new byte[SIZE];
        Random random = new Random(1);
        random.nextBytes(expected);
        Files.write(base, expected);
        TestImages.create(overlay, SIZE, 16, base, "raw");
        byte[] data = new byte[9 * MIB];
        random.nextBytes(data);
        try (StageHarness harness = StageHarness.open(new OwnContent(overlay))) {
            harness.client().write(2 * MIB, data);
            harness.client().write(13 * MIB, Arrays.copyOf(data, MIB));
            harness.client().flush();
        }
        System.arraycopy(data, 0, expected, 2 * MIB, data.length);
        System.arraycopy(data, 0, expected, 13 * MIB, MIB);
    }

    /** The look before each copy of 1 MiB says whether it is the last. */
    private CommitSession.Result commit(int copies) throws Exception {
        int[] left = {copies + 1};
        try (CommitSession session = CommitSession.open(overlay)) {
            return session.run(fraction -> {}, () -> left[0]-- <= 0);
        }
    }

    @Test
    void whatWasCopiedBeforeAStopIsNotCopiedAgain() throws Exception {
        CommitSession.Result first = commit(4);
        assertThat(first.isDone()).isFalse();
        assertThat(first.copiedBytes()).isEqualTo(4 * MIB);
        byte[] now = Files.readAllBytes(base);
        assertThat(Arrays.equals(now, 0, 6 * MIB, expected, 0, 6 * MIB)).isTrue();

        CommitSession.Result second = commit(Integer.MAX_VALUE - 1);
        assertThat(second.isDone()).isTrue();
        assertThat(second.copiedBytes()).isEqualTo(6 * MIB);
        assertThat(Files.readAllBytes(base)).isEqualTo(expected);

        assertThat(commit(Integer.MAX_VALUE - 1)).isEqualTo(new CommitSession.Result(true, 0));
    }

    /** Somebody has served the file of an image as if it were a disk. */
    @Test
    void anImageThatIsRecordedAsARawDiskIsNotDestroyed() throws Exception {
        Path image = directory.resolve("image.qcow2");
        TestImages.create(image, SIZE, 16, null, null);
        byte[] before = Files.readAllBytes(image);
        Path over = directory.resolve("over.qcow2");
        TestImages.create(over, 512, 16, image, "raw");

        assertThatThrownBy(() -> CommitSession.open(over))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("begins as a qcow2 image");
        assertThat(Files.readAllBytes(image)).isEqualTo(before);
    }

    @Test
    void theProgressRisesFromCopyToCopyToTheEnd() throws Exception {
        List<Double> told = new ArrayList<>();
        try (CommitSession session = CommitSession.open(overlay)) {
            session.run(told::add, () -> false);
        }
        assertThat(told).isSorted().hasSizeGreaterThan(8).last().isEqualTo(1.0);
    }
}

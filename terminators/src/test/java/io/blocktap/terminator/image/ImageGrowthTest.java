package io.blocktap.terminator.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.RefusedException;
import io.blocktap.pipeline.Stage;
import io.blocktap.pipeline.StageContext;
import io.blocktap.pipeline.config.OptionValues;
import io.blocktap.pipeline.config.StageText;
import io.blocktap.pipeline.file.BlockFile;
import io.blocktap.pipeline.testkit.StageHarness;
import io.blocktap.pipeline.testkit.TestPool;
import io.netty.channel.DefaultEventLoop;
import io.netty.channel.EventLoop;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code image} follows its file when that grows, and only then. */
@Timeout(60)
class ImageGrowthTest {
    private static final int SIZE = 64 << 10;
    private static final Duration SOON = Duration.ofSeconds(20);

    @TempDir
    private Path directory;

    private Path file;

    @BeforeEach
    void makeFile() throws Exception {
        file = directory.resolve("disk.img");
        setSize(file, SIZE);
    }

    private static void setSize(Path file, long bytes) throws IOException {
        try (RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw")) {
            opened.setLength(bytes);
        }
    }

    private static Stage image(String text) throws Exception {
        return new ImageFactory().create(OptionValues.parse(StageText.parse("image:" + text), ImageConfig.OPTIONS));
    }

    private static void awaitSize(StageHarness harness, long bytes) {
        await().atMost(SOON).until(() -> harness.toldSizeBytes() == bytes);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",io=threads", ",direct=on,io=threads"})
    void aFileThatGrowsCanBeReadAndWrittenToItsNewEnd(String options) throws Exception {
        byte[] data = new byte[4096];
        Arrays.fill(data, (byte) 7);
        try (StageHarness harness = StageHarness.open(image(file + options))) {
            assertThat(harness.client().call(BlockOp.READ, SIZE, 512).status()).isEqualTo(BlockStatus.OUT_OF_RANGE);

            setSize(file, 2 * SIZE);
            awaitSize(harness, 2 * SIZE);
            harness.client().write(2 * SIZE - data.length, data);
            harness.client().flush();

            assertThat(harness.client().read(SIZE, 4096)).containsOnly(0);
            assertThat(harness.client().read(2 * SIZE - data.length, data.length))
                    .isEqualTo(data);
            assertThat(harness.client().call(BlockOp.READ, 2 * SIZE, 512).status())
                    .isEqualTo(BlockStatus.OUT_OF_RANGE);
        }
        byte[] content = Files.readAllBytes(file);
        assertThat(content).hasSize(2 * SIZE);
        assertThat(Arrays.copyOfRange(content, 2 * SIZE - data.length, 2 * SIZE))
                .isEqualTo(data);
    }

    @Test
    void aReadOnlyImageIsFollowedToTheByte() throws Exception {
        try (StageHarness harness = StageHarness.open(image(file + ",read-only"))) {
            setSize(file, SIZE + 7);
            awaitSize(harness, SIZE + 7);

            assertThat(harness.client().read(SIZE, 7)).containsOnly(0);
        }
    }

    @Test
    void anImageWhoseSizeIsGivenKeepsIt() throws Exception {
        Path followed = directory.resolve("followed.img");
        setSize(followed, SIZE);
        try (StageHarness other = StageHarness.open(image(followed.toString()));
                StageHarness fixed = StageHarness.open(image(file + ",size=64K"))) {
            setSize(file, 2 * SIZE);
            for (int i = 2; i <= 3; i++) {
                setSize(followed, i * SIZE); // when this was seen, the other one would have been, too
                awaitSize(other, i * SIZE);
            }

            assertThat(fixed.disk().geometry().sizeBytes()).isEqualTo(SIZE);
            assertThat(fixed.client().call(BlockOp.READ, SIZE, 512).status()).isEqualTo(BlockStatus.OUT_OF_RANGE);
        }
    }

    @Test
    void readsPastTheEndOfAFileThatWasCutShortFailAndItIsServedOnWhenItIsLongAgain() throws Exception {
        try (StageHarness harness = StageHarness.open(image(file.toString()))) {
            setSize(file, SIZE / 2);
            assertThat(harness.client().call(BlockOp.READ, SIZE / 2, 512).status())
                    .isEqualTo(BlockStatus.IO_ERROR);
            assertThat(harness.client().read(0, 512)).containsOnly(0);

            setSize(file, 3 * SIZE);
            awaitSize(harness, 3 * SIZE);

            assertThat(harness.client().read(3 * SIZE - 512, 512)).containsOnly(0);
        }
    }

    @Test
    void aBlockDeviceThatGrowsIsFollowed() throws Exception {
        Path backing = directory.resolve("backing.img");
        setSize(backing, 1 << 20);
        String device = loopDevice(backing);
        try {
            try (StageHarness harness = StageHarness.open(image(device))) {
                setSize(backing, 2 << 20);
                assertThat(run("losetup", "-c", device).exit()).isZero();
                awaitSize(harness, 2 << 20);

                harness.client().write((2 << 20) - 4096, new byte[4096]);
            }
        } finally {
            run("losetup", "-d", device);
        }
    }

    private static String loopDevice(Path backing) throws Exception {
        Assumptions.assumeTrue("root".equals(System.getProperty("user.name")), "losetup needs root");
        Ran made;
        try {
            made = run("losetup", "--show", "-f", backing.toString());
        } catch (IOException e) {
            return Assumptions.abort("no losetup: " + e.getMessage());
        }
        Assumptions.assumeTrue(made.exit() == 0, () -> "no loop device: " + made.output());
        return made.output().strip();
    }

    private record Ran(int exit, String output) {}

    private static Ran run(String... command) throws Exception {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        return new Ran(process.waitFor(), output);
    }

    /** One look at a time. */
    @Nested
    class Looks {
        private final List<Long> told = new ArrayList<>();
        private CompletableFuture<Void> answer = CompletableFuture.completedFuture(null);
        private long terminatorTakes = SIZE;

        private GrowthWatch watch(BlockFile opened, TestPool workers, EventLoop timers) {
            StageContext context = new StageContext(
                    "vm1",
                    "image",
                    workers,
                    InstantSource.system(),
                    timers,
                    timers,
                    sizeBytes -> {
                        assertThat(terminatorTakes).isEqualTo(sizeBytes); // before frontends hear of it
                        told.add(sizeBytes);
                        return answer;
                    },
                    news -> {},
                    false,
                    null);
            return new GrowthWatch(context, opened, bytes -> terminatorTakes = bytes, TimeUnit.HOURS.toMillis(1));
        }

        private void looking(Steps steps) throws Exception {
            EventLoop timers = new DefaultEventLoop();
            try (TestPool workers = new TestPool(1);
                    BlockFile opened = BlockFile.open(file, BlockFile.Access.READ_WRITE, BlockFile.Caching.CACHED, -1);
                    GrowthWatch watch = watch(opened, workers, timers)) {
                steps.take(watch);
            } finally {
                timers.shutdownGracefully(0, 1, TimeUnit.SECONDS);
            }
        }

        /** What a test does. */
        interface Steps {
            void take(GrowthWatch watch) throws Exception;
        }

        @Test
        void tellOfGrowthOnce() throws Exception {
            looking(watch -> {
                watch.look();
                setSize(file, SIZE + 1);
                watch.look();
                watch.look();

                assertThat(told).containsExactly(SIZE + 1L);
            });
        }

        @Test
        void tellNothingOfAFileThatIsSmallerThanTheDisk() throws Exception {
            looking(watch -> {
                setSize(file, 512);
                watch.look();
                setSize(file, 1024); // grows, and is still smaller than what is served
                watch.look();
                setSize(file, SIZE);
                watch.look();
                assertThat(told).isEmpty();

                setSize(file, SIZE + 512);
                watch.look();
                assertThat(told).containsExactly(SIZE + 512L);
            });
        }

        @Test
        void waitUntilTheDiskHasTakenTheLastSize() throws Exception {
            answer = new CompletableFuture<>();
            looking(watch -> {
                setSize(file, SIZE + 512);
                watch.look();
                setSize(file, SIZE + 1024);
                watch.look();
                assertThat(told).containsExactly(SIZE + 512L);

                answer.complete(null);
                watch.look();
                assertThat(told).containsExactly(SIZE + 512L, SIZE + 1024L);
            });
        }

        @Test
        void doNotTellAgainWhatWasRefused() throws Exception {
            answer = CompletableFuture.failedFuture(new RefusedException("no"));
            looking(watch -> {
                setSize(file, SIZE + 512);
                watch.look();
                watch.look();
                assertThat(told).containsExactly(SIZE + 512L);

                setSize(file, SIZE + 1024);
                watch.look();
                assertThat(told).containsExactly(SIZE + 512L, SIZE + 1024L);
            });
        }
    }
}

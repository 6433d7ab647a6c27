package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.blocktap.pipeline.StageException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Empty images of every shape are what their header says, and clean to our checker and to QEMU's. */
@Timeout(120)
class Qcow2FormatTest {
    private static final int MOST_L1_ENTRIES = 4 << 20;

    @TempDir
    private Path directory;

    static IntStream clusterBits() {
        return IntStream.rangeClosed(9, 21);
    }

    /** Nothing, a sector, a cluster, an odd number of clusters, more than one L2 table, an odd end, and much. */
    private static long[] sizes(int clusterBits) {
        long cluster = 1L << clusterBits;
        long table = cluster << clusterBits - 3;
        long much = Math.min(64L << 40, table << 15);
        return LongStream.of(0, 512, cluster, 77 * cluster, table + cluster, 3 * cluster + 512, much + 512)
                .distinct()
                .toArray();
    }

    private static SparseBytes create(long sizeBytes, int clusterBits, @Nullable String backing) throws StageException {
        SparseBytes bytes = new SparseBytes();
        Qcow2Format.create(new BytesStorage(bytes), sizeBytes, clusterBits, backing, backing == null ? null : "raw");
        return bytes;
    }

    @ParameterizedTest
    @MethodSource("clusterBits")
    void anImageOfEverySizeIsWhatItsHeaderSays(int clusterBits) throws StageException {
        for (long size : sizes(clusterBits)) {
            SparseBytes bytes = create(size, clusterBits, null);

            Qcow2Header header = Qcow2Header.read(new BytesStorage(bytes));
            assertThat(header.sizeBytes()).isEqualTo(size);
            assertThat(header.clusterBits()).isEqualTo(clusterBits);
            assertThat(header.l1Entries()).isEqualTo((int) Math.max(1, new Layout(clusterBits, size).l1Entries()));
            assertThat(header.backingFile()).isNull();
            header.requireUsable("new.qcow2", true);
            Qcow2Checker checker = new Qcow2Checker(bytes, null).check();
            assertThat(checker.errors).as("errors, %d bytes", size).isEmpty();
            assertThat(checker.leaks).as("leaks, %d bytes", size).isEmpty();
        }
    }

    @ParameterizedTest
    @MethodSource("clusterBits")
    void anImageOfEverySizeIsCleanToQemu(int clusterBits) throws Exception {
        requireQemu();
        List<String> images = new ArrayList<>();
        for (long size : sizes(clusterBits)) {
            Path file = directory.resolve(size + ".qcow2");
            TestImages.create(file, size, clusterBits, null, null);
            images.add(file.toString());
        }

        assertClean(images);
    }

    @ParameterizedTest
    @CsvSource({"9, 1", "9, 376", "10, 888", "16, 1", "16, 1023", "21, 1023"})
    void aBackingFilesNameMayBeAsLongAsTheFormatAllows(int clusterBits, int bytes) throws Exception {
        String name = name(bytes);

        Qcow2Header header = Qcow2Header.read(new BytesStorage(create(1 << 20, clusterBits, name)));

        assertThat(header.backingFile()).isEqualTo(name);
        assertThat(header.backingFormat()).isEqualTo("raw");
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 1023})
    void aBackingFilesNameIsCleanToQemu(int bytes) throws Exception {
        requireQemu();
        Files.write(directory.resolve("b"), new byte[1 << 20]);
        Path image = directory.resolve("image.qcow2");
        SparseBytes content = create(1 << 20, 16, name(bytes));
        Files.write(image, content.read(0, (int) content.size()));

        assertClean(List.of(image.toString()));
    }

    @ParameterizedTest
    @CsvSource({"9, 377, 376", "10, 889, 888", "16, 1024, 1023", "21, 4000, 1023"})
    void aLongerNameIsRefused(int clusterBits, int bytes, int most) {
        assertThatThrownBy(() -> create(1 << 20, clusterBits, name(bytes)))
                .isInstanceOf(StageException.class)
                .hasMessage("bytes.qcow2: the name of its backing file has " + bytes + " bytes; at most " + most
                        + " can be told in it");
    }

    @Test
    void itIsTheNamesBytesThatCount() throws StageException {
        String most = "\u00e4".repeat(511);
        assertThat(most.getBytes(StandardCharsets.UTF_8)).hasSize(1022);
        assertThat(Qcow2Header.read(new BytesStorage(create(0, 16, most))).backingFile())
                .isEqualTo(most);

        assertThatThrownBy(() -> create(0, 16, most + "\u00e4")).hasMessageContaining("has 1024 bytes");
    }

    /** Names of any length for the file b. */
    private static String name(int bytes) {
        return (bytes % 2 == 0 ? "./".repeat(bytes / 2 - 1) + "/b" : "./".repeat(bytes / 2) + "b");
    }

    @ParameterizedTest
    @CsvSource({"1, 512", "511, 512", "513, 1024", "1000, 1024", "1048577, 1049088"})
    void aSizeThatIsNotOfWholeSectorsIsRefused(long size, long right) {
        assertThatThrownBy(() -> create(size, 16, null))
                .isInstanceOf(StageException.class)
                .hasMessage("bytes.qcow2: a qcow2 image is of whole sectors of 512 bytes, and a disk of " + size
                        + " bytes is not; make it " + right);
    }

    @ParameterizedTest
    @ValueSource(ints = {9, 12})
    void aDiskThatNeedsLargerClustersIsRefused(int clusterBits) {
        long most = (long) MOST_L1_ENTRIES << clusterBits - 3 + clusterBits;

        assertThatThrownBy(() -> create(most + 512, clusterBits, null))
                .isInstanceOf(StageException.class)
                .hasMessageContainingAll(
                        "a disk of " + (most + 512) + " bytes needs larger clusters",
                        "cluster-size=" + (2 << clusterBits) + " or more");
        assertThatThrownBy(() -> create(Long.MAX_VALUE & -512, clusterBits, null))
                .isInstanceOf(StageException.class)
                .hasMessageContaining("is larger than a qcow2 image can be");
    }

    private void requireQemu() {
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/qemu-img")), "qemu-img is not installed");
    }

    /** All in one shell, since most of the time goes into starting programs. */
    private void assertClean(List<String> images) throws IOException, InterruptedException {
        Path log = directory.resolve("check.log");
        List<String> command = new ArrayList<>(List.of(
                "sh", "-c", "for i; do qemu-img check -f qcow2 \"$i\" || { echo \"$i\"; exit 1; }; done", "sh"));
        command.addAll(images);
        Process check = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        assertThat(check.waitFor(60, TimeUnit.SECONDS)).as("ended").isTrue();
        assertThat(check.exitValue()).as(Files.readString(log)).isZero();
    }
}

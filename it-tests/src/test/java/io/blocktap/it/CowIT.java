package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.Blocktap;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.Qcow2;
import io.blocktap.it.support.RawNbd;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.Tool;
import io.blocktap.pipeline.codec.nbd.Nbd;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Overlays: written through NBD, judged by qemu-img while they are served and afterwards, taken to qemu and back. The base never changes. */
@Timeout(120)
final class CowIT {
    private static final int SIZE = 16 << 20;
    private static final int OPERATIONS = 400;

    @TempDir
    private Path directory;

    private Path base;
    private Path overlay;

    @BeforeEach
    void makeBase() {
        Tool.requireAll("qemu-io", "qemu-img");
        base = TestData.file(directory.resolve("base.img"), 1, SIZE);
        overlay = directory.resolve("overlay.qcow2");
    }

    /** Serves the overlay over the base; options start with a comma. */
    private ServedDisk serve(String options) {
        return ServedDisk.serve(directory, "cow:" + overlay + options, "image:" + base);
    }

    private Exec.Result refused(String... chain) {
        return refused(1, chain);
    }

    private Exec.Result refused(int exitCode, String... chain) {
        List<String> words = new ArrayList<>(List.of("serve", "--tap", "nbd:unix=" + directory.resolve("no.sock")));
        words.addAll(List.of(chain));
        Exec.Result result = Blocktap.run(directory, words.toArray(String[]::new));
        assertThat(result.exitCode()).as(result.toString()).isEqualTo(exitCode);
        assertThat(result.err().lines().filter(line -> line.startsWith("blocktap: ")))
                .as(result.toString())
                .hasSize(1);
        return result;
    }

    // ---- bytes

    @ParameterizedTest
    @ValueSource(strings = {"", ",io=uring,cluster-size=512", ",io=threads,cluster-size=2M"})
    void qemuSeesACleanAndEqualImageAfterEachFlushAndAfterTheEnd(String options) {
        String before = TestData.sha256(base);
        try (ServedDisk served = serve(options)) {
            Qcow2.io(served.uri(), "write -P 1 511 513", "write -P 2 65535 2", "write -P 3 100k 200k", "flush");
            Qcow2.assertClean(overlay);
            Qcow2.assertEqual(served.uri(), overlay);

            Qcow2.io(
                    served.uri(),
                    "write -P 4 1M 5M",
                    "write -z 2M 100k",
                    "write -z -u 3M 1M",
                    "discard 5M 1M",
                    "flush");
            Qcow2.assertClean(overlay);
            Qcow2.assertEqual(served.uri(), overlay);

            Qcow2.io(
                    served.uri(),
                    "read -P 1 511 513",
                    "read -P 2 65535 2",
                    "read -P 3 100k 200k",
                    "read -P 4 1M 1M",
                    "read -P 0 2M 100k",
                    "read -P 4 2148k 876k",
                    "read -P 0 3M 1M",
                    "read -P 4 4M 1M",
                    "write -P 5 5M 64k",
                    "write -f -P 6 3M 4k",
                    "write -P 7 16773120 4k");
        }

        Qcow2.assertClean(overlay);
        Qcow2.ioOnFile(
                overlay, "read -P 6 3M 4k", "read -P 0 3076k 1020k", "read -P 7 16773120 4k", "read -P 5 5M 64k");
        try (ServedDisk again = serve("")) {
            Qcow2.assertEqual(again.uri(), overlay);
            Qcow2.io(again.uri(), "read -P 6 3M 4k", "read -P 3 100k 200k", "write -P 8 101k 1k", "read -P 8 101k 1k");
        }
        Qcow2.assertClean(overlay);
        assertThat(TestData.sha256(base)).as("the base").isEqualTo(before);
    }

    /** Random writes and zeroes of any alignment, and the same on an array of bytes. */
    @ParameterizedTest
    @CsvSource({"512, 1", "64K, 2", "1M, 3"})
    void randomWritesAreInTheImageAsInAnArray(String clusterSize, long seed) throws IOException {
        byte[] expected = TestData.read(base, 0, SIZE);
        SplittableRandom random = new SplittableRandom(seed);
        try (ServedDisk served = serve(",cluster-size=" + clusterSize + ",l2-cache=64K");
                RawNbd client = RawNbd.open(served.nbdSocket())) {
            for (int i = 0; i < OPERATIONS; i++) {
                int length = 1 + random.nextInt(1 << random.nextInt(1, 19));
                int offset = random.nextInt(SIZE - length);
                if (random.nextInt(4) == 0) {
                    int flags = random.nextBoolean() ? Nbd.CMD_FLAG_NO_HOLE : 0;
                    assertThat(client.command(Nbd.CMD_WRITE_ZEROES, flags, offset, length))
                            .isZero();
                    Arrays.fill(expected, offset, offset + length, (byte) 0);
                } else {
                    byte[] data = TestData.bytes(i, length);
                    assertThat(client.write(offset, data)).isZero();
                    System.arraycopy(data, 0, expected, offset, length);
                }
                if (random.nextInt(50) == 0) {
                    assertThat(client.command(Nbd.CMD_FLUSH, 0, 0, 0)).isZero();
                    Qcow2.assertClean(overlay);
                }
            }
            for (int offset = 0; offset < SIZE; offset += 1 << 20) {
                assertThat(client.read(offset, 1 << 20))
                        .isEqualTo(Arrays.copyOfRange(expected, offset, offset + (1 << 20)));
            }
        }
        Qcow2.assertClean(overlay);
        Path raw = Qcow2.toRaw(overlay, directory.resolve("all.img"));
        assertThat(Arrays.mismatch(TestData.read(raw, 0, SIZE), expected)).isEqualTo(-1);
    }

    /** Each client writes each fourth block, so that all of them want to make every cluster. */
    @ParameterizedTest
    @ValueSource(strings = {",io=loop", ",io=uring,l2-cache=64K,cluster-size=16K"})
    void fourClientsWriteTheSameClusters(String options) {
        Tool.require("fio");
        List<String> arguments = new ArrayList<>(ServedDisk.taps(directory));
        arguments.addAll(List.of("--threads", "4", "cow:" + overlay + options, "image:" + base));
        try (ServedDisk served = ServedDisk.start(directory, List.of(), arguments)) {
            List<String> fio = new ArrayList<>(List.of(
                    "fio",
                    "--ioengine=nbd",
                    "--uri=" + served.uri(),
                    "--rw=write",
                    "--bs=4k",
                    "--iodepth=16",
                    "--size=" + SIZE,
                    "--io_size=" + SIZE / 4,
                    "--zonemode=strided",
                    "--zonesize=4k",
                    "--zonerange=16k",
                    "--fsync=50",
                    "--verify=crc32c",
                    "--verify_fatal=1",
                    "--verify_state_save=0",
                    "--do_verify=1"));
            for (int job = 0; job < 4; job++) {
                fio.addAll(List.of("--name=job" + job, "--offset=" + job * 4096));
            }
            Exec.run(fio.toArray()).ok();
            Qcow2.io(served.uri(), "flush");
            Qcow2.assertClean(overlay);
            Qcow2.assertEqual(served.uri(), overlay);
        }
        Qcow2.assertClean(overlay);
    }

    @Test
    void onlyWhatWasWrittenIsInTheOverlay() {
        try (ServedDisk served = serve("")) {
            Qcow2.io(served.uri(), "write -P 1 1M 4k", "write -z 2M 64k");
        }
        String map = Exec.run("qemu-img", "map", overlay).ok().out();
        assertThat(map.lines().filter(line -> line.endsWith(overlay.toString())))
                .singleElement()
                .asString()
                .startsWith("0x100000 ")
                .containsPattern("^\\S+ +0x10000 ");
        assertThat(TestData.allocatedBytes(overlay)).isLessThan(8 * 65536);
    }

    @Test
    void storageOfWhatWasDiscardedIsUsedAgain() throws IOException {
        try (ServedDisk served = serve("")) {
            Qcow2.io(served.uri(), "write -P 1 0 16M", "flush", "discard 0 16M", "flush");
            Qcow2.assertClean(overlay);
            assertThat(TestData.allocatedBytes(overlay)).isLessThan(1 << 20);
            long size = Files.size(overlay);

            Qcow2.io(served.uri(), "write -P 2 0 8M", "flush", "read -P 2 0 8M");
            assertThat(Files.size(overlay)).isEqualTo(size);
        }
        Qcow2.assertClean(overlay);
    }

    // ---- between programs

    @Test
    void qemuWritesOurOverlayAndWeGoOnWithIt() throws IOException {
        try (ServedDisk served = serve("")) {
            Qcow2.io(served.uri(), "write -P 1 0 1M", "write -P 2 8M 100k");
        }
        assertThat(Qcow2.info(overlay))
                .containsEntry("format", "qcow2")
                .containsEntry("virtual-size", SIZE)
                .containsEntry("cluster-size", 65536)
                .containsEntry("backing-filename", "base.img")
                .containsEntry("backing-filename-format", "raw");

        Qcow2.ioOnFile(overlay, "read -P 1 0 1M", "write -P 3 512k 1M", "write -z 8M 32k", "discard 0 64k");
        try (ServedDisk served = serve("")) {
            Qcow2.assertEqual(served.uri(), overlay);
            Qcow2.io(served.uri(), "read -P 3 512k 1M", "read -P 0 8M 32k", "write -P 4 1M 64k", "write -P 5 15M 64k");
        }
        Qcow2.assertClean(overlay);
        Path top = Qcow2.create(directory.resolve("top.qcow2"), "", overlay, "qcow2");
        try (ServedDisk served = ServedDisk.serve(directory, "cow:" + top, "qcow2:" + overlay)) {
            Qcow2.io(served.uri(), "read -P 4 1M 64k", "write -P 6 1M 4k", "read -P 6 1M 4k");
            Qcow2.assertEqual(served.uri(), top);
        }
        Qcow2.assertClean(top);
    }

    @Test
    void overlaysMayStandOnEachOther() {
        String before = TestData.sha256(base);
        Path second = directory.resolve("second.qcow2");
        try (ServedDisk served = ServedDisk.serve(directory, "cow:" + second, "cow:" + overlay, "image:" + base)) {
            Qcow2.io(served.uri(), "write -P 1 0 64k", "read -P 1 0 64k");
            Qcow2.assertEqual(served.uri(), second);
        }
        assertThat(Qcow2.info(second)).containsEntry("backing-filename", "overlay.qcow2");
        Qcow2.ioOnFile(overlay, "write -P 2 64k 64k");
        Qcow2.ioOnFile(second, "read -P 1 0 64k", "read -P 2 64k 64k");
        assertThat(TestData.sha256(base)).isEqualTo(before);
    }

    @Test
    void aSecondServerMayNotHaveTheOverlayNorQemuWriteIt() {
        try (ServedDisk served = serve("")) {
            assertThat(refused("cow:" + overlay, "image:" + base).err()).contains(overlay + " is in use");
            assertThat(Exec.run("qemu-io", "-f", "qcow2", "-c", "write 0 4k", overlay)
                            .failed()
                            .all())
                    .contains("lock");
            served.assertAlive();
        }
    }

    @Test
    void theBaseMayBeServedToManyOverlaysAtOnce() throws IOException {
        String before = TestData.sha256(base);
        Path other = Files.createDirectory(directory.resolve("other"));
        try (ServedDisk one = ServedDisk.serve(directory, "cow:" + overlay, "image:" + base);
                ServedDisk two = ServedDisk.serve(other, "cow:overlay.qcow2", "image:" + base)) {
            Qcow2.io(one.uri(), "write -P 1 0 64k", "flush");
            Qcow2.io(two.uri(), "write -P 2 0 64k", "read -P 2 0 64k");
            Qcow2.io(one.uri(), "read -P 1 0 64k");
        }
        Qcow2.ioOnFile(other.resolve("overlay.qcow2"), "read -P 2 0 64k");
        assertThat(TestData.sha256(base)).isEqualTo(before);
    }

    // ---- file systems, large disks, memory

    @Test
    void aFileSystemOnAnOverlayIsClean() {
        Tool.requireAll("mke2fs", "e2fsck");
        Path first = fileSystem("first.img", "docs");
        Path second = fileSystem("second.img", "tap-transport/src");
        String before = TestData.sha256(first);
        try (ServedDisk served = ServedDisk.serve(directory, "cow:" + overlay, "image:" + first)) {
            Exec.run("qemu-img", "convert", "-n", "-W", "-f", "raw", "-O", "raw", second, served.uri())
                    .ok();
            Qcow2.assertClean(overlay);
            Qcow2.assertEqual(served.uri(), overlay);
        }
        Path seen = Qcow2.toRaw(overlay, directory.resolve("seen.img"));
        Exec.run(Tool.require("e2fsck"), "-f", "-n", seen).ok();
        assertThat(TestData.sha256(seen)).isEqualTo(TestData.sha256(second));
        assertThat(TestData.sha256(first)).isEqualTo(before);
    }

    private Path fileSystem(String name, String tree) {
        Path image = directory.resolve(name);
        Path files = Blocktap.root().resolve(tree);
        Exec.run(Tool.require("mke2fs"), "-q", "-t", "ext4", "-d", files, image, "32m")
                .ok();
        return image;
    }

    @Test
    void sixteenTebibytesTakeAFewClusters() throws IOException {
        SplittableRandom random = new SplittableRandom(16);
        List<String> writes = new ArrayList<>(List.of("write -P 1 0 4k", "write -P 2 17592186040320 4k"));
        List<String> reads = new ArrayList<>(List.of("read -P 1 0 4k", "read -P 2 17592186040320 4k"));
        for (int i = 0; i < 64; i++) {
            String range = " -P " + (3 + i) + " " + random.nextLong(1, (16L << 40) / 4096 - 1) * 4096 + " 4k";
            writes.add("write" + range);
            reads.add("read" + range);
        }
        writes.add("flush");
        try (ServedDisk served = ServedDisk.serve(directory, "cow:" + overlay + ",l2-cache=64K", "null:16T")) {
            Qcow2.io(served.uri(), writes.toArray(String[]::new));
            Qcow2.assertClean(overlay);
            Qcow2.io(served.uri(), reads.toArray(String[]::new));
        }
        Qcow2.assertClean(overlay);
        Qcow2.ioOnFile(overlay, reads.toArray(String[]::new));
        assertThat(Qcow2.info(overlay)).containsEntry("virtual-size", 16L << 40);
        assertThat(TestData.allocatedBytes(overlay)).isLessThan(16 << 20);
        try (ServedDisk again = ServedDisk.serve(directory, "cow:" + overlay, "null:16T")) {
            Qcow2.io(again.uri(), reads.toArray(String[]::new));
        }
    }

    @Test
    void anOverlayInMemoryIsBoundedAndAFullOneStillServes() throws IOException {
        String before = TestData.sha256(base);
        try (ServedDisk served = ServedDisk.serve(directory, "cow:memory,limit=4M", "image:" + base);
                RawNbd client = RawNbd.open(served.nbdSocket())) {
            served.expectErrors("No space left|ENOSPC|no space");
            byte[] data = TestData.bytes(2, 256 << 10);
            int written = 0;
            int error = 0;
            while (error == 0 && written < 64) {
                error = client.write((long) written * data.length, data);
                written += error == 0 ? 1 : 0;
            }
            assertThat(error).isEqualTo(Nbd.ENOSPC);
            assertThat(written).isBetween(8, 16);

            assertThat(client.command(Nbd.CMD_FLUSH, 0, 0, 0)).isZero();
            for (int i = 0; i < written; i++) {
                assertThat(client.read((long) i * data.length, data.length)).isEqualTo(data);
            }
            assertThat(client.write(0, TestData.bytes(3, 4096))).as("a rewrite").isZero();
            assertThat(client.read(8 << 20, 4096)).isEqualTo(TestData.read(base, 8 << 20, 4096));

            // What was discarded makes room, once a flush has let go of it.
            assertThat(client.command(Nbd.CMD_TRIM, 0, 0, 1 << 20)).isZero();
            assertThat(client.command(Nbd.CMD_FLUSH, 0, 0, 0)).isZero();
            assertThat(client.write(8 << 20, data)).isZero();
            assertThat(client.read(8 << 20, data.length)).isEqualTo(data);
            client.disconnect();
        }
        assertThat(directory.resolve("memory")).doesNotExist();
        assertThat(TestData.sha256(base)).isEqualTo(before);
    }

    /** {@code link/../base.img} is beside the directory to which the link leads, not beside the link. */
    @Test
    void aBaseThatIsNamedThroughALinkIsTheOneThatIsRecordedServedAndWritten() throws IOException {
        Path real = Files.createDirectories(directory.resolve("data/x"));
        Path link = Files.createSymbolicLink(directory.resolve("link"), real);
        Path realBase = TestData.file(directory.resolve("data/base.img"), 2, SIZE);
        String before = TestData.sha256(base);
        overlay = link.resolve("overlay.qcow2");
        base = link.resolve("../base.img");
        try (ServedDisk served = serve("")) {
            Qcow2.io(served.uri(), "write -P 7 1M 64k", "flush");
        }
        assertThat(Qcow2.info(overlay)).containsEntry("full-backing-filename", realBase.toString());

        Blocktap.run(directory, "commit", overlay.toString()).ok();

        assertThat(TestData.read(realBase, 1 << 20, 64 << 10)).containsOnly(7);
        assertThat(TestData.sha256(directory.resolve("base.img"))).isEqualTo(before);
    }

    /** As those have that qemu-img makes: the name begins where the kernel finds the image. */
    @Test
    void aCommitThroughALinkWritesTheBaseThatTheOverlayHas() throws IOException {
        Path real = Files.createDirectories(directory.resolve("data/x"));
        Path realBase = TestData.file(directory.resolve("data/base.img"), 2, SIZE);
        String before = TestData.sha256(base);
        Exec.run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "../base.img", real.resolve("o.qcow2"))
                .ok();
        Qcow2.ioOnFile(real.resolve("o.qcow2"), "write -P 8 1M 64k");
        Path link = Files.createSymbolicLink(directory.resolve("link"), real);

        Blocktap.run(directory, "commit", link.resolve("o.qcow2").toString()).ok();

        assertThat(TestData.read(realBase, 1 << 20, 64 << 10)).containsOnly(8);
        assertThat(TestData.sha256(base)).isEqualTo(before);
    }

    // ---- what is refused

    @Test
    void aBaseOfAnotherSizeIsRefused() {
        Qcow2.create(overlay, "", base, "raw", "8M");
        assertThat(refused("cow:" + overlay, "image:" + base).err())
                .contains("for a disk of 8388608 bytes", "what is below has 16777216");
    }

    @Test
    void anOverlayOfAnotherBaseIsRefused() {
        Path other = TestData.file(directory.resolve("other.img"), 2, SIZE);
        Qcow2.create(overlay, "", other, "raw");
        assertThat(refused("cow:" + overlay, "image:" + base).err()).contains("other.img", "qemu-img rebase -u -b");
    }

    /** It is made beside its place first, under another name, which must not be longer. */
    @Test
    void anOverlayMayHaveTheLongestNameThereIs() {
        overlay = directory.resolve("o".repeat(255));

        try (ServedDisk served = serve("")) {
            Qcow2.io(served.uri(), "write -P 1 0 64k", "flush");
        }

        Qcow2.assertClean(overlay);
        assertThat(directory).isDirectoryNotContaining("glob:**.new");
    }

    @Test
    void aRawFileIsNoOverlay() {
        String before = TestData.sha256(base);
        Path raw = TestData.file(directory.resolve("raw.img"), 2, SIZE);
        assertThat(refused("cow:" + raw, "image:" + base).err()).contains("is not a qcow2 image");
        assertThat(TestData.sha256(base)).isEqualTo(before);
    }

    @Test
    void anEmptyFileIsNoOverlay() throws IOException {
        Files.createFile(overlay);

        assertThat(refused("cow:" + overlay, "image:" + base).err()).contains("is empty, and so no image; remove it");
    }

    @Test
    void anOverlayIsNotItsOwnBase() {
        String before = TestData.sha256(base);
        assertThat(refused("cow:" + base, "image:" + base).err()).contains("overlay of itself");
        assertThat(TestData.sha256(base)).isEqualTo(before);
    }

    @ParameterizedTest
    @ValueSource(strings = {"cluster-size=3K", "limit=1G"})
    void optionsThatCanNotBeAreRefused(String option) {
        assertThat(refused(2, "cow:" + overlay + "," + option, "image:" + base).err())
                .contains(option.split("=")[0]);
        assertThat(overlay).doesNotExist();
    }
}

package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.Blocktap;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.RingClient;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.Tool;
import io.blocktap.transport.loopback.LoopbackFrontend;
import io.blocktap.transport.ring.BlkifLayout;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** An image with a real file system and real files in it, read and written by programs and drivers that are not ours. */
@Timeout(120)
final class Ext4ImageIT {
    private static final int IMAGE_BYTES = 48 << 20;
    private static final int READ_BYTES = 1 << 20;

    @TempDir
    private Path directory;

    @BeforeEach
    void needFileSystemTools() {
        Tool.requireAll("mke2fs", "e2fsck", "debugfs");
    }

    /** Makes a file system that holds the sources and texts of this project. */
    private Path makeFileSystem(String name, String label, String tree) {
        Path image = directory.resolve(name);
        Exec.run(
                        Tool.require("mke2fs"),
                        "-q",
                        "-t",
                        "ext4",
                        "-L",
                        label,
                        "-d",
                        Blocktap.root().resolve(tree),
                        image,
                        IMAGE_BYTES / 1024 + "k")
                .ok();
        return image;
    }

    private static void assertCleanFileSystem(Path image) {
        Exec.run(Tool.require("e2fsck"), "-f", "-n", image).ok();
    }

    private void assertHolds(Path image, String inImage, Path original) throws IOException {
        Path taken = directory.resolve("taken");
        Files.deleteIfExists(taken);
        Exec.run(Tool.require("debugfs"), "-R", "dump /" + inImage + " " + taken, image)
                .ok();
        assertThat(taken).hasSameBinaryContentAs(original);
    }

    @Test
    void nbdcopyReadsEveryByteOfAFileSystem() throws Exception {
        Tool.require("nbdcopy");
        Path image = makeFileSystem("disk.img", "first", "docs");
        String before = TestData.sha256(image);
        Path copy = directory.resolve("copy.img");

        try (ServedDisk served = ServedDisk.serve(directory, "dump:file=requests.txt", "image:" + image)) {
            Exec.run("nbdcopy", served.uri(), copy).ok();
        }

        assertThat(TestData.sha256(copy)).isEqualTo(before);
        assertThat(TestData.sha256(image)).as("reading changes nothing").isEqualTo(before);
        assertCleanFileSystem(copy);
        assertHolds(copy, "architecture.md", Blocktap.root().resolve("docs/architecture.md"));
        assertThat(directory.resolve("requests.txt")).content().containsIgnoringCase("read");
    }

    @ParameterizedTest
    @EnumSource(BlkifLayout.class)
    void aRingReadsEveryByteOfAFileSystem(BlkifLayout layout) throws Exception {
        Path image = makeFileSystem("disk.img", "first", "docs");
        MessageDigest digest = TestData.sha256();
        LoopbackFrontend.Options options = new LoopbackFrontend.Options(layout, 2, 48, 256 << 10);

        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image);
                RingClient ring = RingClient.open(served.ringSocket(), options)) {
            assertThat(ring.sizeBytes()).isEqualTo(IMAGE_BYTES);
            for (int offset = 0; offset < IMAGE_BYTES; offset += READ_BYTES) {
                digest.update(ring.read(offset, READ_BYTES));
            }
        }

        assertThat(HexFormat.of().formatHex(digest.digest())).isEqualTo(TestData.sha256(image));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",direct=on", ",io=uring", ",io=threads"})
    void qemuImgReplacesTheFileSystemOfAServedImage(String options) throws Exception {
        Tool.require("qemu-img");
        Path image = makeFileSystem("disk.img", "first", "docs");
        Path second = makeFileSystem("second.img", "second", "tap-transport/src");

        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image + options)) {
            Exec.run("qemu-img", "convert", "-n", "-W", "-f", "raw", "-O", "raw", second, served.uri())
                    .ok();
            Exec.run("qemu-img", "compare", "-f", "raw", "-F", "raw", second, served.uri())
                    .ok();
        }

        assertThat(TestData.sha256(image)).isEqualTo(TestData.sha256(second));
        assertCleanFileSystem(image);
        String source = "main/java/io/blocktap/transport/TapChannel.java";
        assertHolds(image, source, Blocktap.root().resolve("tap-transport/src").resolve(source));
    }

    @Test
    void nbdcopyReplacesTheFileSystemOfAServedImage() throws Exception {
        Tool.require("nbdcopy");
        Path image = makeFileSystem("disk.img", "first", "tap-transport/src");
        Path second = makeFileSystem("second.img", "second", "docs");

        try (ServedDisk served = ServedDisk.serve(directory, "count", "image:" + image)) {
            // Zeroes must be written, for the disk holds something else there.
            Exec.run("nbdcopy", "--flush", second, served.uri()).ok();
        }

        assertThat(TestData.sha256(image)).isEqualTo(TestData.sha256(second));
        assertCleanFileSystem(image);
        assertHolds(image, "architecture.md", Blocktap.root().resolve("docs/architecture.md"));
    }

    @Test
    void whatARingWritesNbdReads() throws Exception {
        Path image = makeFileSystem("disk.img", "first", "docs");
        Path second = makeFileSystem("second.img", "second", "tap-transport/src");
        Path copy = directory.resolve("copy.img");

        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image);
                RingClient ring = RingClient.open(served.ringSocket())) {
            for (int offset = 0; offset < IMAGE_BYTES; offset += READ_BYTES) {
                ring.write(offset, TestData.read(second, offset, READ_BYTES));
            }
            RingClient.join(ring.disk().flush());
            Exec.run(Tool.require("nbdcopy"), served.uri(), copy).ok();
        }

        assertThat(List.of(TestData.sha256(copy), TestData.sha256(image))).containsOnly(TestData.sha256(second));
        assertCleanFileSystem(image);
    }
}

package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.Exec;
import io.blocktap.it.support.Json;
import io.blocktap.it.support.RawNbd;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.Tool;
import io.blocktap.pipeline.codec.nbd.Nbd;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** qemu's and libnbd's tools as clients of the tap {@code nbd}: patterns, edges, flags, names. */
@Timeout(120)
final class QemuIoIT {
    private static final int SIZE = 16 << 20;

    @TempDir
    private Path directory;

    @BeforeEach
    void needClients() {
        Tool.requireAll("qemu-io", "qemu-img", "nbdinfo");
    }

    private Path image() {
        return directory.resolve("disk.img");
    }

    /** Serves a new image; options start with a comma. */
    private ServedDisk serveImage(String options) {
        return ServedDisk.serve(directory, "image:" + image() + ",size=16M" + options);
    }

    /** Runs commands of qemu-io one after another in one session. */
    private static Exec.Result qemuIo(String uri, String... commands) {
        List<Object> words = new ArrayList<>(List.of(Tool.require("qemu-io"), "-t", "none", "-f", "raw"));
        for (String command : commands) {
            words.add("-c");
            words.add(command);
        }
        words.add(uri);
        return Exec.run(words.toArray());
    }

    private static void assertPattern(byte[] data, int from, int to, int value) {
        for (int i = from; i < to; i++) {
            assertThat(data[i]).as("byte %d", i).isEqualTo((byte) value);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",direct=on", ",io=uring", ",io=threads"})
    void patternsComeBackAndAreInTheFile(String options) {
        try (ServedDisk served = serveImage(options)) {
            Exec.Result result = qemuIo(
                            served.uri(),
                            "write -P 0xa5 0 64k",
                            "write -P 0x5a 1M 3M",
                            "write -f -P 0x11 12k 4k",
                            "write -P 0x77 16773120 4k",
                            "aio_write -P 0x21 5M 64k",
                            "aio_write -P 0x22 6M 64k",
                            "aio_flush",
                            "flush",
                            "read -P 0xa5 0 12k",
                            "read -P 0x11 12k 4k",
                            "read -P 0xa5 16k 48k",
                            "read -P 0 64k 960k",
                            "read -P 0x5a 1M 3M",
                            "read -P 0x21 5M 64k",
                            "read -P 0x22 6M 64k",
                            "read -P 0x77 16773120 4k")
                    .ok();
            assertThat(result.all()).doesNotContain("Pattern verification failed", "error");
        }

        byte[] file = TestData.read(image(), 0, SIZE);
        assertPattern(file, 0, 12 << 10, 0xa5);
        assertPattern(file, 12 << 10, 16 << 10, 0x11);
        assertPattern(file, 64 << 10, 1 << 20, 0);
        assertPattern(file, 1 << 20, 4 << 20, 0x5a);
        assertPattern(file, SIZE - 4096, SIZE, 0x77);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",direct=on"})
    void writesThatAreNotAlignedChangeTheirBytesOnly(String options) {
        try (ServedDisk served = serveImage(options)) {
            Exec.Result result = qemuIo(
                            served.uri(),
                            "write -P 0xee 0 8k",
                            "write -P 0x33 511 513",
                            "write -P 0x44 4095 2",
                            "read -P 0xee 0 511",
                            "read -P 0x33 511 513",
                            "read -P 0x44 4095 2",
                            "read -P 0xee 4097 4095")
                    .ok();
            assertThat(result.all()).doesNotContain("Pattern verification failed");
        }

        byte[] file = TestData.read(image(), 0, 8192);
        assertPattern(file, 0, 511, 0xee);
        assertPattern(file, 511, 1024, 0x33);
        assertPattern(file, 1024, 4095, 0xee);
        assertPattern(file, 4095, 4097, 0x44);
        assertPattern(file, 4097, 8192, 0xee);
    }

    @Test
    void zeroesAndDiscardsGiveStorageBack() {
        try (ServedDisk served = serveImage("")) {
            qemuIo(served.uri(), "write -P 0xff 0 16M", "flush").ok();
            long full = TestData.allocatedBytes(image());
            assertThat(full).isGreaterThanOrEqualTo(SIZE);

            qemuIo(served.uri(), "write -z 0 2M", "flush", "read -P 0 0 2M", "read -P 0xff 2M 14M")
                    .ok();
            assertThat(TestData.allocatedBytes(image()))
                    .as("zeroes without -u stay allocated")
                    .isGreaterThanOrEqualTo(SIZE);

            qemuIo(served.uri(), "write -z -u 2M 2M", "flush", "read -P 0 0 4M", "read -P 0xff 4M 12M")
                    .ok();
            long unmapped = TestData.allocatedBytes(image());
            assertThat(unmapped).as("zeroes with -u").isLessThanOrEqualTo(full - (2 << 20));

            qemuIo(served.uri(), "discard 8M 4M", "read -P 0 8M 4M", "read -P 0xff 12M 4M")
                    .ok();
            assertThat(TestData.allocatedBytes(image())).as("discard").isLessThanOrEqualTo(unmapped - (4 << 20));
        }

        byte[] file = TestData.read(image(), 0, SIZE);
        assertPattern(file, 0, 4 << 20, 0);
        assertPattern(file, 4 << 20, 8 << 20, 0xff);
        assertPattern(file, 8 << 20, 12 << 20, 0);
        assertPattern(file, 12 << 20, SIZE, 0xff);
        assertThat(image()).hasSize(SIZE);
    }

    @Test
    void memoryZeroesAndDiscardsReadAsZeroes() {
        try (ServedDisk served = ServedDisk.serve(directory, "memory:16M")) {
            Exec.Result result = qemuIo(
                            served.uri(),
                            "write -P 0xff 0 16M",
                            "write -z 1M 1M",
                            "write -z -u 3M 1M",
                            "discard 5M 1M",
                            "read -P 0xff 0 1M",
                            "read -P 0 1M 1M",
                            "read -P 0xff 2M 1M",
                            "read -P 0 3M 1M",
                            "read -P 0xff 4M 1M",
                            "read -P 0 5M 1M",
                            "read -P 0xff 6M 10M")
                    .ok();
            assertThat(result.all()).doesNotContain("Pattern verification failed");
        }
    }

    @Test
    void aReadOnlyDiskRefusesToBeWritten() throws Exception {
        TestData.file(image(), 3, SIZE);
        String before = TestData.sha256(image());
        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image() + ",read-only=on")) {
            assertThat(qemuIo(served.uri(), "write 0 4k").failed().all())
                    .containsPattern("(?i)read-only|permission denied");
            try (RawNbd client = RawNbd.open(served.nbdSocket())) {
                assertThat(client.write(0, new byte[4096])).isEqualTo(Nbd.EPERM);
                assertThat(client.command(Nbd.CMD_TRIM, 0, 0, 4096)).isEqualTo(Nbd.EPERM);
                assertThat(client.command(Nbd.CMD_WRITE_ZEROES, 0, 0, 4096)).isEqualTo(Nbd.EPERM);
                assertThat(client.read(0, 4096)).isEqualTo(TestData.read(image(), 0, 4096));
            }
            Exec.run("qemu-img", "compare", "-f", "raw", "-F", "raw", image(), served.uri())
                    .ok();
            assertThat(nbdinfo(served.uri())).containsEntry("is_read_only", true);
        }
        assertThat(TestData.sha256(image())).isEqualTo(before);
    }

    @Test
    void readOnlyImagesMayBeServedTwice() throws Exception {
        TestData.file(image(), 4, SIZE);
        Path other = Files.createDirectory(directory.resolve("other"));
        try (ServedDisk one = ServedDisk.serve(directory, "image:" + image() + ",read-only=on");
                ServedDisk two = ServedDisk.serve(other, "image:" + image() + ",read-only=on")) {
            Exec.run("qemu-img", "compare", "-f", "raw", "-F", "raw", one.uri(), two.uri())
                    .ok();
        }
    }

    @Test
    void qemuImgMeasuresAndCopiesADisk() {
        Path copy = directory.resolve("copy.qcow2");
        Path source = TestData.file(directory.resolve("source.img"), 5, SIZE);
        try (ServedDisk served = serveImage("")) {
            Map<String, Object> info = Json.object(Exec.run("qemu-img", "info", "--output=json", served.uri())
                    .ok()
                    .out());
            assertThat(info).containsEntry("virtual-size", SIZE).containsEntry("format", "raw");

            Exec.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, served.uri())
                    .ok();
            Exec.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", served.uri(), copy)
                    .ok();
            Exec.run("qemu-img", "compare", "-f", "qcow2", "-F", "raw", copy, source)
                    .ok();

            assertThat(Exec.run("qemu-img", "bench", "-f", "raw", "-c", 2000, "-d", 32, "-s", 4096, served.uri())
                            .ok()
                            .out())
                    .contains("Run completed");
            Exec.run("qemu-img", "bench", "-w", "--flush-interval=64", "-f", "raw", "-c", 1000, "-d", 16, served.uri())
                    .ok();
        }
    }

    // ---- names and flags

    @SuppressWarnings("unchecked")
    private static Map<String, Object> nbdinfo(String uri) {
        Map<String, Object> info =
                Json.object(Exec.run("nbdinfo", "--json", uri).ok().out());
        return ((List<Map<String, Object>>) info.get("exports")).get(0);
    }

    @Test
    void disksAreFoundByTheirNames() throws Exception {
        Path config = Files.writeString(directory.resolve("disks.yaml"), """
                taps: ["nbd:unix=nbd.sock", "loopback:unix=ring.sock"]
                disks:
                  alpha: {chain: "image:alpha.img,size=8M"}
                  beta: {chain: [count, "memory:4M"]}
                  "with space": {chain: "null:1M"}
                """);
        try (ServedDisk served =
                ServedDisk.start(directory, List.of(), List.of("--config", config.toString(), "--threads", "2"))) {
            Map<String, Object> list = Json.object(
                    Exec.run("nbdinfo", "--list", "--json", served.uri()).ok().out());
            assertThat(Json.objects(list, "exports"))
                    .extracting(export -> export.get("export-name"))
                    .containsExactlyInAnyOrder("alpha", "beta", "with space");

            qemuIo(served.uri("alpha"), "write -P 1 0 64k").ok();
            qemuIo(served.uri("beta"), "write -P 2 0 64k").ok();
            qemuIo(served.uri("with%20space"), "read -P 0 0 64k").ok();
            assertThat(qemuIo(served.uri("alpha"), "read -P 1 0 64k").ok().all())
                    .doesNotContain("Pattern verification failed");
            assertThat(qemuIo(served.uri("beta"), "read -P 2 0 64k").ok().all())
                    .doesNotContain("Pattern verification failed");
            assertThat(nbdinfo(served.uri("alpha"))).containsEntry("export-size", 8 << 20);
            assertThat(nbdinfo(served.uri("beta"))).containsEntry("export-size", 4 << 20);
        }
        assertPattern(TestData.read(directory.resolve("alpha.img"), 0, 64 << 10), 0, 64 << 10, 1);
    }

    @Test
    void anUnknownNameIsRefusedWithTheReason() {
        try (ServedDisk served = serveImage("")) {
            assertThat(Exec.run("nbdinfo", served.uri("nowhere")).failed().err())
                    .contains("nowhere");
            assertThat(Exec.run("qemu-img", "info", served.uri("nowhere"))
                            .failed()
                            .err())
                    .contains("no disk 'nowhere'");
        }
    }

    @Test
    void advertisesWhatAnImageCanDo() {
        try (ServedDisk served = serveImage("")) {
            assertThat(nbdinfo(served.uri()))
                    .containsEntry("export-size", SIZE)
                    .containsEntry("is_read_only", false)
                    .containsEntry("can_flush", true)
                    .containsEntry("can_fua", true)
                    .containsEntry("can_trim", true)
                    .containsEntry("can_zero", true)
                    .containsEntry("can_multi_conn", true);
        }
    }

    @Test
    void advertisesWhatAnImageCanNotDo() {
        try (ServedDisk served = serveImage(",discard=off")) {
            assertThat(nbdinfo(served.uri())).containsEntry("can_trim", false).containsEntry("can_flush", true);
            // qemu-io takes a discard that is not offered as done; the bytes must stay.
            qemuIo(served.uri(), "write -P 9 0 1M", "discard 0 1M", "read -P 9 0 1M")
                    .ok();
        }
        assertPattern(TestData.read(image(), 0, 1 << 20), 0, 1 << 20, 9);
    }

    @Test
    void requestsPastTheEndAreErrors() throws Exception {
        Tool.require("nbdinfo");
        byte[] untouched;
        try (ServedDisk served = serveImage("")) {
            qemuIo(served.uri(), "write -P 0x42 16773120 4k").ok();
            assertThat(qemuIo(served.uri(), "write -P 1 16777216 512").all()).contains("write failed");
            assertThat(qemuIo(served.uri(), "read 16777216 512").all()).contains("read failed");
            assertThat(qemuIo(served.uri(), "write -P 1 16776704 1k").all()).contains("write failed");
            untouched = TestData.read(image(), SIZE - 4096, 4096);
        }
        byte[] expected = new byte[4096];
        Arrays.fill(expected, (byte) 0x42);
        assertThat(untouched).isEqualTo(expected);
        assertThat(image()).hasSize(SIZE);
    }
}

package io.blocktap.it.support;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** qcow2 images as qemu's tools make and see them. All of these look at images that may be served meanwhile. */
public final class Qcow2 {
    private Qcow2() {}

    /** Makes an image without a backing file; options as {@code qemu-img create -o} has them, or none. */
    public static Path create(Path image, String options, String size) {
        return create(image, options, null, "raw", size);
    }

    /** Makes an image; without a size it has its backing file's. */
    public static Path create(
            Path image, String options, @Nullable Path backing, String backingFormat, String... size) {
        List<Object> words = new ArrayList<>(List.of("qemu-img", "create", "-q", "-f", "qcow2"));
        if (!options.isEmpty()) {
            words.addAll(List.of("-o", options));
        }
        if (backing != null) {
            words.addAll(List.of("-b", backing, "-F", backingFormat));
        }
        words.add(image);
        words.addAll(List.of(size));
        Exec.run(words.toArray()).ok();
        return image;
    }

    /** Runs commands of qemu-io on an NBD URI. */
    public static Exec.Result io(String uri, String... commands) {
        return qemuIo("raw", uri, commands);
    }

    /** Runs commands of qemu-io on an image that nobody has open. */
    public static Exec.Result ioOnFile(Path image, String... commands) {
        return qemuIo("qcow2", image, commands);
    }

    private static Exec.Result qemuIo(String format, Object where, String... commands) {
        List<Object> words = new ArrayList<>(List.of("qemu-io", "-t", "writeback", "-f", format));
        for (String command : commands) {
            words.add("-c");
            words.add(command);
        }
        words.add(where);
        Exec.Result result = Exec.run(words.toArray()).ok();
        assertThat(result.all()).doesNotContain("Pattern verification failed", "failed:");
        return result;
    }

    /** Asserts that {@code qemu-img check} finds nothing at all. */
    public static void assertClean(Path image) {
        Exec.Result check = Exec.run("qemu-img", "check", "-U", "-f", "qcow2", image);
        assertThat(check.exitCode()).as(check.toString()).isZero();
        assertThat(check.out()).contains("No errors were found on the image.");
    }

    /** Asserts that {@code qemu-img check} finds nothing that could lose data; returns how many clusters have leaked. */
    public static long assertNoErrors(Path image) {
        Exec.Result check = Exec.run("qemu-img", "check", "-U", "-f", "qcow2", "--output=json", image);
        assertThat(check.exitCode()).as(check.toString()).isIn(0, 3);
        Map<String, Object> report = Json.object(check.out());
        assertThat(report).as(check.toString()).doesNotContainKey("corruptions").containsEntry("check-errors", 0);
        return ((Number) report.getOrDefault("leaks", 0)).longValue();
    }

    /** Asserts that what a server serves is what qemu sees in an image. */
    public static void assertEqual(String uri, Path image) {
        Exec.run("qemu-img", "compare", "-U", "-f", "raw", "-F", "qcow2", uri, image)
                .ok();
    }

    /** Returns what {@code qemu-img info} tells. */
    public static Map<String, Object> info(Path image) {
        return Json.object(
                Exec.run("qemu-img", "info", "-U", "--output=json", image).ok().out());
    }

    /** Copies what qemu sees in an image, with its backing files, into a raw file. */
    public static Path toRaw(Path image, Path raw) {
        Exec.run("qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", image, raw)
                .ok();
        return raw;
    }

    /** Overwrites bytes of a file. */
    public static void patch(Path file, long offset, int... bytes) {
        try (RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw")) {
            opened.seek(offset);
            for (int each : bytes) {
                opened.write(each);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}

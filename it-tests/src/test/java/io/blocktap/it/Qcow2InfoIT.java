package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.it.support.Blocktap;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.Json;
import io.blocktap.it.support.Qcow2;
import io.blocktap.it.support.Tool;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What {@code blocktap info} says of images is what qemu-img says of them; and it opens no file because of what a guest has written. */
@Timeout(120)
final class Qcow2InfoIT {
    /** Where the type of the first header extension stands: the backing file's format. */
    private static final int FORMAT_EXTENSION = 112;

    private static final int SIZE_FIELD = 24;
    private static final int FEATURES_LOWEST_BYTE = 79;

    @TempDir
    private Path directory;

    @BeforeEach
    void needQemu() {
        Tool.requireAll("qemu-img");
    }

    private Path file(String name) {
        return directory.resolve(name);
    }

    private Path raw(String name, long bytes) throws IOException {
        Files.write(file(name), new byte[(int) bytes]);
        return file(name);
    }

    /** Makes an image whose backing file need not be there. */
    private Path create(String name, String options, String backing, String format) {
        Exec.run(
                        "qemu-img",
                        "create",
                        "-q",
                        "-u",
                        "-f",
                        "qcow2",
                        "-o",
                        options,
                        "-b",
                        backing,
                        "-F",
                        format,
                        file(name),
                        "2M")
                .ok();
        return file(name);
    }

    private Path create(String name, String backing, String format) {
        return create(name, "cluster_size=64k", backing, format);
    }

    private void snapshot(Path image, String name) {
        Exec.run("qemu-img", "snapshot", "-c", name, image).ok();
    }

    private void forgetFormat(Path image) {
        Qcow2.patch(image, FORMAT_EXTENSION, 1, 2, 3, 4);
    }

    // ---- both programs, from the same directory

    private Object ours(Path from, Object... words) {
        List<String> all = new ArrayList<>(List.of("info", "--json"));
        for (Object word : words) {
            all.add(word.toString());
        }
        return Json.any(Blocktap.run(from, all.toArray(String[]::new)).ok().out());
    }

    private Object qemus(Path from, Object... words) {
        List<Object> all = new ArrayList<>(List.of("qemu-img", "info", "--output=json"));
        all.addAll(List.of(words));
        try (Exec program = Exec.startIn(from, all.toArray())) {
            return Json.any(program.await(Duration.ofSeconds(60)).ok().out());
        }
    }

    private void assertSame(Path from, Object... words) {
        Object theirs = qemus(from, words);
        Object ours = ours(from, words);
        if (!ours.equals(theirs)) {
            theirs = qemus(from, words); // a file system may have changed its mind about how much is allocated
        }
        assertThat(ours).isEqualTo(theirs);
    }

    private Exec.Result text(Path image) {
        return Blocktap.run(directory, "info", image.toString());
    }

    // ---- what there is

    /** One program run for all kinds of images: each is the base of the next. */
    @Test
    void imagesOfEveryKindAreDescribedAsByQemu() throws IOException {
        Path last = raw("base.img", 3 << 20);
        String format = "raw";
        for (String options : List.of(
                "compat=0.10,cluster_size=4k",
                "cluster_size=512,refcount_bits=64",
                "cluster_size=2M,refcount_bits=1",
                "compression_type=zstd",
                "lazy_refcounts=on",
                "extended_l2=on",
                "cluster_size=64k")) {
            last = create(options.replaceAll("[^a-z0-9]", "-") + ".qcow2", options, last.toString(), format);
            format = "qcow2";
        }
        Qcow2.patch(file("lazy-refcounts-on.qcow2"), FEATURES_LOWEST_BYTE, 1);
        snapshot(last, "it's \"one\"");
        snapshot(last, "two");

        assertSame(directory, "--backing-chain", last);
    }

    @Test
    void namesAreThoseOfQemuFromWhereverTheyAreSeen() throws IOException {
        Path sub = Files.createDirectory(file("sub"));
        raw("base.img", 1 << 20);
        create("4.qcow2", "file:" + file("base.img"), "raw");
        create("3.qcow2", file("4.qcow2").toString(), "qcow2");
        create("sub/2.qcow2", "./../3.qcow2", "qcow2");
        create("1.qcow2", "sub//2.qcow2", "qcow2");

        assertSame(sub, "--backing-chain", "../1.qcow2");
    }

    @Test
    void aBackingFileThatIsNotThereHindersOnlyWhoAsksForIt() throws IOException {
        Path sub = Files.createDirectory(file("sub"));
        Path missing = create("missing.qcow2", "no/such.img", "raw");
        Path nbd = create("nbd.qcow2", "nbd+unix:///?socket=/no/such", "raw");

        assertSame(sub, "..//sub/../missing.qcow2");
        assertSame(directory, nbd);
        Exec.Result text = text(missing).failed();
        assertThat(text.out().lines()).startsWith(missing.toString()).endsWith("  based on   no/such.img");
        assertThat(text.err())
                .isEqualTo("blocktap: info: " + file("no/such.img")
                        + " does not exist, or may not be reached (it is the backing file of " + missing + ")\n");
    }

    /** The lowest image does not say that its base is raw, which it can only be. */
    @Test
    void sizesThatAreNoMultipleOfASectorAreThoseOfQemu() throws IOException {
        raw("odd.img", 1_000_001);
        Path below = create("below.qcow2", "odd.img", "raw");
        Path image = create("image.qcow2", "below.qcow2", "qcow2");
        forgetFormat(below);
        Qcow2.patch(below, SIZE_FIELD, 0, 0, 0, 0, 0, 0x12, 0x34, 0x57);
        Qcow2.patch(image, SIZE_FIELD, 0, 0, 0, 0, 0, 0x12, 0x35, 0xff);

        assertSame(directory, "--backing-chain", "image.qcow2");
    }

    // ---- what a guest may have written

    /** The base is a guest's disk, and the guest has written an image there, with a backing file of its choice. */
    @Test
    void whatAGuestWritesInARawDiskIsNoImage() {
        Path secret = create("secret.qcow2", "/etc/hostname", "raw");
        create("disk.img", secret.toString(), "qcow2");
        Path image = create("image.qcow2", "disk.img", "raw");

        assertSame(directory, "--backing-chain", "image.qcow2");

        forgetFormat(image);
        snapshot(image, "it's \"one\"");
        Exec.Result text = text(image).failed();
        assertThat(text.out().lines())
                .startsWith(image.toString())
                .endsWith("  based on   disk.img")
                .anyMatch(line -> line.matches("  snapshot   1 'it's \"one\"', 20\\S+Z, 0 bytes of machine state"));
        assertThat(text.err().lines())
                .singleElement()
                .asString()
                .contains(
                        file("disk.img") + " looks like qcow2, and what is based on it does not say whether it is",
                        "qemu-img rebase -u -b disk.img -F qcow2 " + image)
                .doesNotContain("secret");
    }

    @Test
    void aWrongFormatIsMendedByTheCommandThatIsProposed() throws IOException {
        raw("base.img", 1 << 20);
        Path image = create("image.qcow2", "base.img", "qcow2");

        Exec.Result text = text(image).failed();

        assertThat(text.out().lines()).endsWith("  based on   base.img");
        assertThat(text.err()).contains(file("base.img") + " is not a qcow2 image");
        String command = text.err().replaceAll("(?s).*(qemu-img rebase .*) \\(it is the backing file of .*", "$1");
        Exec.run("sh", "-c", command).ok();
        assertThat(Qcow2.info(image)).containsEntry("backing-filename-format", "raw");
    }
}

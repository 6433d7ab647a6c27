package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The checker that the crash tests trust says of an image what QEMU says of it. */
@Timeout(120)
class Qcow2CheckerTest {
    private static final int SIZE = 1 << 20;
    private static final int CLEAN = 0;
    private static final int ERRORS = 2;
    private static final int LEAKS = 3;

    @TempDir
    private Path directory;

    private final long seed = System.nanoTime();
    private final Random random = new Random(seed);

    @BeforeEach
    void requireTools() {
        for (String tool : List.of("qemu-img", "qemu-io")) {
            assumeTrue(Files.isExecutable(Path.of("/usr/bin", tool)), tool + " is not installed");
        }
    }

    @ParameterizedTest
    @CsvSource({"9, false", "9, true", "12, true", "16, false", "16, true"})
    void readsAndChecksWhatQemuHasWritten(int clusterBits, boolean hasBase) throws Exception {
        Path file = writtenByQemu(clusterBits, hasBase);
        SparseBytes base = hasBase ? load(directory.resolve("base.img")) : null;

        Qcow2Checker checker = new Qcow2Checker(load(file), base).check();

        assertThat(run("qemu-img", "check", "-q", file.toString())).isEqualTo(CLEAN);
        assertThat(checker.errors).as("seed %d", seed).isEmpty();
        assertThat(checker.leaks).as("seed %d", seed).isEmpty();
        assertThat(checker.content()).as("seed %d", seed).isEqualTo(asRaw(file));
    }

    @ParameterizedTest
    @CsvSource({"9, 12", "12, 12", "16, 12"})
    void findsTheDamagesThatQemuFinds(int clusterBits, int damages) throws Exception {
        Path file = writtenByQemu(clusterBits, false);
        byte[] good = Files.readAllBytes(file);
        int clean = 0;
        for (int i = 0; i < damages; i++) {
            byte[] bytes = good.clone();
            String damage = damage(ByteBuffer.wrap(bytes), i);
            Files.write(file, bytes);

            int verdict = run("qemu-img", "check", "-q", file.toString());
            Qcow2Checker checker = new Qcow2Checker(load(file), null).check();

            assertThat(verdict(checker))
                    .as("seed %d, %s: errors %s, leaks %s", seed, damage, checker.errors, checker.leaks)
                    .isEqualTo(verdict);
            clean += verdict == CLEAN ? 1 : 0;
        }
        assertThat(clean).as("damages that are none").isZero();
    }

    private static int verdict(Qcow2Checker checker) {
        if (!checker.errors.isEmpty()) {
            return ERRORS;
        }
        return checker.leaks.isEmpty() ? CLEAN : LEAKS;
    }

    /** Makes one thing wrong in an image, and tells what. */
    private String damage(ByteBuffer image, int kind) {
        int clusterBytes = 1 << image.getInt(20);
        int l1 = (int) image.getLong(40);
        int block = (int) image.getLong((int) image.getLong(48));
        List<Integer> tables = new ArrayList<>();
        List<Integer> entries = new ArrayList<>();
        for (int i = 0; i < image.getInt(36); i++) {
            int table = (int) (image.getLong(l1 + 8 * i) & 0x00ff_ffff_ffff_fe00L);
            if (table == 0) {
                continue;
            }
            tables.add(l1 + 8 * i);
            for (int at = table; at < table + clusterBytes; at += 8) {
                if (image.getLong(at) < 0) {
                    entries.add(at);
                }
            }
        }
        int entry = entries.get(random.nextInt(entries.size()));
        int tableEntry = tables.get(random.nextInt(tables.size()));
        int other = entries.get((entries.indexOf(entry) + 1) % entries.size());
        switch (kind % 6) {
            case 0 -> image.putLong(entry, image.getLong(other)); // used twice, and one that nothing uses
            case 1 -> image.putLong(entry, 0); // a leak
            case 2 -> image.putLong(entry, image.getLong(entry) & Long.MAX_VALUE); // no COPIED
            case 3 -> image.putLong(tableEntry, image.getLong(tableEntry) & Long.MAX_VALUE);
            case 4 -> image.putShort(block + 2 * random.nextInt(3), (short) 0); // used, not counted
            default -> image.putShort(block, (short) 2); // the header has one user
        }
        return "damage " + kind % 6 + " of entry at " + entry + ", L1 entry at " + tableEntry;
    }

    private Path writtenByQemu(int clusterBits, boolean hasBase) throws Exception {
        Path file = directory.resolve("image.qcow2");
        List<String> create = new ArrayList<>(
                List.of("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=" + (1 << clusterBits)));
        if (hasBase) {
            byte[] base = new byte[SIZE];
            random.nextBytes(base);
            Files.write(directory.resolve("base.img"), base);
            create.addAll(List.of("-b", "base.img", "-F", "raw"));
        }
        create.addAll(List.of(file.toString(), Integer.toString(SIZE)));
        assertThat(run(create.toArray(String[]::new))).isZero();
        List<String> work = new ArrayList<>(List.of("qemu-io", "-f", "qcow2", "-d", "unmap"));
        for (int i = 0; i < 120; i++) {
            int length = 512 * (1 + random.nextInt(i % 3 == 0 ? 160 : 6));
            int offset = 512 * random.nextInt((SIZE - length) / 512);
            String how = i % 8 == 6 ? "write -z" : i % 8 == 7 ? "discard" : "write -P " + (1 + random.nextInt(255));
            work.addAll(List.of("-c", how + " " + offset + " " + length));
        }
        work.add(file.toString());
        assertThat(run(work.toArray(String[]::new))).isZero();
        return file;
    }

    private byte[] asRaw(Path file) throws Exception {
        Path raw = directory.resolve("content.img");
        assertThat(run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", file.toString(), raw.toString()))
                .isZero();
        return Files.readAllBytes(raw);
    }

    private static SparseBytes load(Path file) throws Exception {
        byte[] bytes = Files.readAllBytes(file);
        SparseBytes loaded = new SparseBytes();
        loaded.write(0, bytes, 0, bytes.length);
        return loaded;
    }

    private int run(String... command) throws Exception {
        Process process = new ProcessBuilder(command)
                .directory(directory.toFile())
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        if (!process.waitFor(60, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new AssertionError(String.join(" ", command) + " hangs");
        }
        return process.exitValue();
    }
}

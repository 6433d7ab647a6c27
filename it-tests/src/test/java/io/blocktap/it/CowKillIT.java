package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.it.support.Blocktap;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.Qcow2;
import io.blocktap.it.support.RawNbd;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.Tool;
import io.blocktap.pipeline.codec.nbd.Nbd;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * SIGKILL: of a server in the middle of writes, discards and flushes, again and again on one overlay, and of {@code blocktap commit} in the middle of its work.
 * qemu-img finds no errors in what is left, and all that was flushed is there.
 *
 * <p>{@code -Dblocktap.it.kills=100} kills the server more often than CI does.
 */
final class CowKillIT {
    private static final int KILLS = Integer.getInteger("blocktap.it.kills", 8);
    private static final int BLOCK_BYTES = 4096;
    private static final int BLOCKS = 8192;
    /** fio's part comes after ours. */
    private static final int FIO_OFFSET = BLOCKS * BLOCK_BYTES;

    private static final int SIZE = 2 * FIO_OFFSET;

    @TempDir
    private Path directory;

    private Path base;
    private Path overlay;

    @BeforeEach
    void needPrograms() throws IOException {
        Tool.requireAll("qemu-img", "fio");
        base = directory.resolve("base.img");
        overlay = directory.resolve("overlay.qcow2");
    }

    // ---- the server

    /** Returns what a block holds after its n-th write; the base holds version 0. */
    private static byte[] content(int block, int version) {
        byte[] content = TestData.bytes((long) block << Integer.SIZE | version, BLOCK_BYTES);
        ByteBuffer.wrap(content).putInt(block).putInt(version);
        return content;
    }

    /**
     * Writes versions of blocks in batches, each with a flush or a write with FUA in its middle, until the server is gone; knows of each block the version that
     * must be there at least, and the newest that may be.
     */
    private final class Writer implements AutoCloseable {
        final int[] stable;
        final int[] newest;
        final AtomicInteger batches = new AtomicInteger();
        final AtomicReference<Throwable> failure = new AtomicReference<>();
        private final int[] answered;
        private final SplittableRandom random;
        private final Path socket;
        private final Thread thread = new Thread(this::run, "writer");

        Writer(Path socket, int[] stable, int[] newest, long seed) {
            this.socket = socket;
            this.stable = stable.clone();
            this.newest = newest.clone();
            answered = stable.clone();
            random = new SplittableRandom(seed);
            thread.start();
        }

        private void run() {
            try (RawNbd client = RawNbd.open(socket)) {
                while (true) {
                    batch(client);
                    batches.incrementAndGet();
                }
            } catch (IOException e) {
                // The server has gone: that is what the test waits for.
            } catch (RuntimeException | AssertionError e) {
                failure.set(e);
            }
        }

        private void batch(RawNbd client) throws IOException {
            Map<Long, Integer> written = new HashMap<>();
            int[] beforeFlush = answered.clone();
            int writes = random.nextInt(1, 33);
            boolean isFua = random.nextBoolean();
            int middle = random.nextInt(writes);
            for (int i = 0; i < writes; i++) {
                int block = random.nextInt(BLOCKS);
                if (written.putIfAbsent((long) block, ++newest[block]) != null) {
                    newest[block]--;
                    continue;
                }
                byte[] data = content(block, newest[block]);
                boolean hasFua = isFua && i == middle;
                client.send(RawNbd.request(
                        Nbd.CMD_WRITE, hasFua ? Nbd.CMD_FLAG_FUA : 0, block, (long) block * BLOCK_BYTES, data.length));
                client.send(ByteBuffer.wrap(data));
                if (hasFua) {
                    written.put((long) block, -newest[block]);
                }
                if (!isFua && i == middle) {
                    client.send(RawNbd.request(Nbd.CMD_FLUSH, 0, BLOCKS, 0, 0));
                    written.put((long) BLOCKS, 0);
                }
            }
            for (int i = written.size(); i > 0; i--) {
                RawNbd.Answer answer = client.receiveAnswer();
                assertThat(answer.error()).isZero();
                int version = written.remove(answer.cookie());
                if (answer.cookie() == BLOCKS) {
                    System.arraycopy(beforeFlush, 0, stable, 0, BLOCKS);
                } else {
                    int block = (int) answer.cookie();
                    answered[block] = Math.abs(version);
                    stable[block] = version < 0 ? -version : stable[block];
                }
            }
        }

        void awaitBatches(int count) {
            await("batches of writes")
                    .atMost(Duration.ofSeconds(30))
                    .pollInterval(Duration.ofMillis(1))
                    .until(() -> batches.get() >= count || !thread.isAlive());
        }

        @Override
        public void close() {
            try {
                thread.join(TimeUnit.SECONDS.toMillis(20));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            assertThat(thread.isAlive()).isFalse();
            assertThat(failure.get()).isNull();
        }
    }

    private void makeBaseOfVersion0() throws IOException {
        try (OutputStream out = Files.newOutputStream(base)) {
            for (int block = 0; block < BLOCKS; block++) {
                out.write(content(block, 0));
            }
            out.write(new byte[SIZE - FIO_OFFSET]);
        }
    }

    private Exec startFio(ServedDisk served) {
        return Exec.start(
                "fio",
                "--name=load",
                "--ioengine=nbd",
                "--uri=" + served.uri(),
                "--offset=" + FIO_OFFSET,
                "--size=" + (SIZE - FIO_OFFSET),
                "--rw=randwrite",
                "--bsrange=4k-256k",
                "--iodepth=8",
                "--fsync=32",
                "--time_based",
                "--runtime=60",
                "--verify=crc32c",
                "--verify_backlog=64",
                "--verify_fatal=1",
                "--verify_state_save=0");
    }

    /** Returns what version of each block qemu finds, each of which is whole, not too old, and not from the future. */
    private int[] assertFlushedIsThere(Writer writer) {
        byte[] all = TestData.read(Qcow2.toRaw(overlay, directory.resolve("seen.img")), 0, FIO_OFFSET);
        int[] versions = new int[BLOCKS];
        for (int block = 0; block < BLOCKS; block++) {
            byte[] seen = Arrays.copyOfRange(all, block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
            int version = ByteBuffer.wrap(seen).getInt(Integer.BYTES);
            assertThat(version).as("version of block %d", block).isBetween(writer.stable[block], writer.newest[block]);
            assertThat(Arrays.equals(seen, content(block, version)))
                    .as("block %d is whole", block)
                    .isTrue();
            versions[block] = version;
        }
        return versions;
    }

    @Test
    @Timeout(value = 2, unit = TimeUnit.HOURS)
    void everyFlushedWriteOutlivesTheServer() throws IOException {
        makeBaseOfVersion0();
        String before = TestData.sha256(base);
        SplittableRandom random = new SplittableRandom();
        int[] stable = new int[BLOCKS];
        int[] newest = new int[BLOCKS];
        for (int kill = 0; kill < KILLS; kill++) {
            Writer writer;
            try (ServedDisk served = ServedDisk.serve(
                            directory,
                            "cow:" + overlay + (kill % 2 == 0 ? ",l2-cache=64K" : ",io=uring"),
                            "image:" + base);
                    Exec fio = startFio(served)) {
                writer = new Writer(served.nbdSocket(), stable, newest, random.nextLong());
                try (writer) {
                    writer.awaitBatches(random.nextInt(1, 200));
                    served.crash();
                }
                assertThat(fio.await(Duration.ofSeconds(20)).all()).doesNotContain("verify: bad", "verify failed");
            }
            long leaks = Qcow2.assertNoErrors(overlay);
            stable = assertFlushedIsThere(writer);
            newest = writer.newest;
            if (leaks > 0 && kill % 2 == 0) {
                // The next server finds the other leaks, and goes on.
                Exec.run("qemu-img", "check", "-q", "-r", "leaks", overlay).ok();
                Qcow2.assertClean(overlay);
            }
        }
        try (ServedDisk served = ServedDisk.serve(directory, "cow:" + overlay, "image:" + base)) {
            Qcow2.assertEqual(served.uri(), overlay);
        }
        Qcow2.assertNoErrors(overlay);
        assertThat(TestData.sha256(base)).isEqualTo(before);
    }

    // ---- commit

    private Exec startCommit() {
        return Exec.start(
                "env",
                "BLOCKTAP_NO_BUILD=1",
                "JAVA_HOME=" + System.getProperty("java.home"),
                Blocktap.root().resolve("blocktap"),
                "commit",
                overlay);
    }

    @Test
    @Timeout(120)
    void aCommitThatIsKilledLosesNothingAndIsEndedByTheNext() throws IOException {
        int size = 128 << 20;
        TestData.file(base, 1, size);
        Qcow2.create(overlay, "", base, "raw");
        Qcow2.ioOnFile(
                overlay,
                "write -P 1 1M 50M",
                "write -P 2 60000k 4k",
                "write -z 64M 1M",
                "write -P 3 70M 50M",
                "write -P 4 134213632 4k");
        String expected = TestData.sha256(Qcow2.toRaw(overlay, directory.resolve("expected.img")));
        int killed = 0;
        for (int kill = 0; kill < 3; kill++) {
            FileTime before = Files.getLastModifiedTime(base);
            try (Exec commit = startCommit()) {
                await("the base is written")
                        .atMost(Duration.ofSeconds(30))
                        .pollInterval(Duration.ofMillis(1))
                        .until(() -> !commit.isAlive()
                                || !Files.getLastModifiedTime(base).equals(before));
                commit.signal("KILL");
                killed += commit.await(Duration.ofSeconds(10)).exitCode() == 0 ? 0 : 1;
            }
            Qcow2.assertNoErrors(overlay);
            Path now = Qcow2.toRaw(overlay, directory.resolve("now.img"));
            assertThat(TestData.sha256(now)).as("after kill %d", kill).isEqualTo(expected);
        }
        assertThat(killed).isPositive();

        assertThat(Blocktap.run(directory, "commit", overlay.toString()).ok().out())
                .contains("committed: ");

        assertThat(TestData.sha256(base)).isEqualTo(expected);
        Qcow2.assertNoErrors(overlay);
        assertThat(Exec.run("qemu-img", "map", overlay).ok().out()).doesNotContain(overlay.toString());
    }

    @Test
    @Timeout(120)
    void anOverlayIsCommittedIntoAQcow2Base() throws IOException {
        Path source = TestData.file(directory.resolve("source.img"), 1, 16 << 20);
        Exec.run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", source, base)
                .ok();
        Qcow2.create(overlay, "cluster_size=4k", base, "qcow2");
        Qcow2.ioOnFile(overlay, "write -P 1 1M 1M", "write -P 2 5000 3", "write -z 3M 100k", "write -P 3 15M 1M");
        String expected = TestData.sha256(Qcow2.toRaw(overlay, directory.resolve("expected.img")));

        Blocktap.run(directory, "commit", overlay.toString()).ok();

        Qcow2.assertClean(base);
        Qcow2.assertClean(overlay);
        assertThat(TestData.sha256(Qcow2.toRaw(base, directory.resolve("now.img"))))
                .isEqualTo(expected);
        assertThat(TestData.sha256(Qcow2.toRaw(overlay, directory.resolve("now.img"))))
                .isEqualTo(expected);
        try (ServedDisk served = ServedDisk.serve(directory, "cow:" + overlay, "qcow2:" + base)) {
            Qcow2.io(served.uri(), "read -P 1 1M 1M", "write -P 4 0 64k");
            assertThat(Blocktap.run(directory, "commit", overlay.toString())
                            .failed()
                            .err())
                    .contains("is in use");
        }
    }
}

package io.blocktap.it;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.blocktap.it.support.Blocktap;
import io.blocktap.it.support.Exec;
import io.blocktap.it.support.RawNbd;
import io.blocktap.it.support.RingClient;
import io.blocktap.it.support.ServedDisk;
import io.blocktap.it.support.TestData;
import io.blocktap.it.support.Tool;
import io.blocktap.pipeline.codec.nbd.Nbd;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Ends, good and bad: signals with writes in flight, flushes that must reach the disk, crashes, two servers, a full file system. */
@Timeout(120)
final class SignalsIT {
    private static final int BLOCK_BYTES = 16 << 10;
    private static final int BLOCKS = 4096;
    private static final int DEPTH = 64;

    @TempDir
    private Path directory;

    private Path image() {
        return directory.resolve("disk.img");
    }

    // ---- SIGTERM and SIGKILL

    /** A client that keeps writes in flight, one block after another, and notes which were answered with success. */
    private static final class Writer implements AutoCloseable {
        final Set<Integer> acknowledged = ConcurrentHashMap.newKeySet();
        private final RawNbd client;
        private final Semaphore room = new Semaphore(DEPTH);
        private final CompletableFuture<Void> sent;
        private final CompletableFuture<Void> received;

        Writer(Path socket) throws IOException {
            client = RawNbd.open(socket);
            sent = CompletableFuture.runAsync(this::send, task -> new Thread(task, "writer").start());
            received = CompletableFuture.runAsync(this::receive, task -> new Thread(task, "answers").start());
        }

        private void send() {
            try {
                for (int i = 0; i < BLOCKS; i++) {
                    room.acquire();
                    client.sendWrite(i, (long) i * BLOCK_BYTES, TestData.bytes(i, BLOCK_BYTES));
                }
            } catch (IOException | InterruptedException e) {
                // The server has gone: that is what the test waits for.
                room.drainPermits();
            }
        }

        private void receive() {
            try {
                while (true) {
                    RawNbd.Answer answer = client.receiveAnswer();
                    assertThat(answer.error()).isIn(0, Nbd.ESHUTDOWN);
                    if (answer.error() == 0) {
                        acknowledged.add((int) answer.cookie());
                    }
                    room.release();
                }
            } catch (IOException e) {
                room.release(BLOCKS);
            }
        }

        void awaitAcknowledged(int count) {
            await().atMost(Duration.ofSeconds(20)).until(() -> acknowledged.size() >= count || received.isDone());
        }

        void awaitEnd() throws Exception {
            received.get(20, TimeUnit.SECONDS);
            sent.get(20, TimeUnit.SECONDS);
        }

        @Override
        public void close() throws IOException {
            client.close();
        }
    }

    private void assertOnDisk(Set<Integer> blocks) {
        for (int block : blocks) {
            assertThat(TestData.read(image(), (long) block * BLOCK_BYTES, BLOCK_BYTES))
                    .as("block %d, which was answered", block)
                    .isEqualTo(TestData.bytes(block, BLOCK_BYTES));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",direct=on", ",io=uring"})
    void everyAnsweredWriteIsOnTheImageAfterSigterm(String options) throws Exception {
        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image() + ",size=64M" + options);
                Writer writer = new Writer(served.nbdSocket())) {
            writer.awaitAcknowledged(500);

            served.signal("TERM");

            assertThat(served.awaitExit()).as(served.log()).isZero();
            writer.awaitEnd();
            served.assertEndedWell();
            assertThat(writer.acknowledged).hasSizeGreaterThanOrEqualTo(500);
            assertOnDisk(writer.acknowledged);
        }
    }

    @Test
    void aCrashLeavesSocketAndImageThatTheNextServerTakesOver() throws Exception {
        Set<Integer> acknowledged;
        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image() + ",size=64M");
                RingClient ring = RingClient.open(served.ringSocket());
                Writer writer = new Writer(served.nbdSocket())) {
            writer.awaitAcknowledged(500);

            served.crash();

            writer.awaitEnd();
            acknowledged = writer.acknowledged;
            await("the frontend hears of it")
                    .atMost(Duration.ofSeconds(10))
                    .until(() -> !ring.disk().channel().isOpen());
        }
        assertThat(directory.resolve("nbd.sock")).exists();

        try (ServedDisk again = ServedDisk.serve(directory, "image:" + image());
                RawNbd client = RawNbd.open(again.nbdSocket());
                RingClient ring = RingClient.open(again.ringSocket())) {
            for (int block : acknowledged) {
                assertThat(client.read((long) block * BLOCK_BYTES, BLOCK_BYTES))
                        .isEqualTo(TestData.bytes(block, BLOCK_BYTES));
            }
            ring.write(0, TestData.bytes(77, BLOCK_BYTES));
            assertThat(client.read(0, BLOCK_BYTES)).isEqualTo(TestData.bytes(77, BLOCK_BYTES));
        }
    }

    @Test
    void twoServersDoNotShareAnImage() throws Exception {
        Path other = Files.createDirectory(directory.resolve("other"));
        try (ServedDisk first = ServedDisk.serve(directory, "image:" + image() + ",size=8M")) {
            Exec.Result second =
                    Blocktap.run(other, "serve", "--tap", "nbd:unix=" + other.resolve("s.sock"), "image:" + image());

            assertThat(second.exitCode()).as(second.toString()).isEqualTo(1);
            assertThat(second.out()).isEmpty();
            assertThat(second.err().lines().toList())
                    .singleElement()
                    .asString()
                    .startsWith("blocktap: ")
                    .contains(image().toString(), "in use by another");
            assertThat(other.resolve("s.sock")).doesNotExist();
            try (RawNbd client = RawNbd.open(first.nbdSocket())) {
                assertThat(client.write(0, TestData.bytes(1, 4096))).isZero();
            }
        }
    }

    @Test
    void twoServersDoNotShareASocket() {
        try (ServedDisk first = ServedDisk.serve(directory, "memory:8M")) {
            Exec.Result second =
                    Blocktap.run(directory, "serve", "--tap", "nbd:unix=" + first.nbdSocket(), "memory:8M");

            assertThat(second.exitCode()).as(second.toString()).isEqualTo(1);
            assertThat(second.err().lines().toList())
                    .singleElement()
                    .asString()
                    .startsWith("blocktap: ")
                    .contains(first.nbdSocket().toString());
        }
    }

    // ---- flush and FUA

    /** Counts the system calls of a process that make data stable, while something runs. */
    private static long syncs(ServedDisk served, Runnable what) {
        Tool.require("strace");
        Path trace = served.directory().resolve("trace");
        try (Exec strace = Exec.start(
                "strace",
                "-f",
                "-e",
                "trace=fdatasync,fsync,sync_file_range,pwritev2,io_uring_enter",
                "-o",
                trace,
                "-p",
                served.pid())) {
            await("strace is at work").atMost(Duration.ofSeconds(20)).until(() -> {
                if (!strace.isAlive()) {
                    Tool.skip(
                            "strace can not trace here: " + strace.err().lines().findFirst());
                }
                return strace.err().contains("attached");
            });
            what.run();
            strace.signal("INT");
            strace.await(Duration.ofSeconds(10));
        }
        Pattern stable = Pattern.compile("fdatasync\\(|fsync\\(|pwritev2\\(.*RWF_D?SYNC");
        try {
            return Files.readAllLines(trace).stream()
                    .filter(line -> stable.matcher(line).find())
                    .count();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void qemuIo(ServedDisk served, String... commands) {
        List<Object> words = new ArrayList<>(List.of(Tool.require("qemu-io"), "-t", "writeback", "-f", "raw"));
        for (String command : commands) {
            words.add("-c");
            words.add(command);
        }
        words.add(served.uri());
        Exec.run(words.toArray()).ok();
    }

    @Test
    void aFlushReachesTheKernel() {
        Tool.require("qemu-io");
        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image() + ",size=8M")) {
            // qemu-io flushes once at its end, whatever it did.
            assertThat(syncs(served, () -> qemuIo(served, "read 0 4k"))).isLessThanOrEqualTo(1);
            assertThat(syncs(served, () -> qemuIo(served, "write -P 1 0 4k", "flush", "write -P 2 0 4k", "flush")))
                    .isGreaterThanOrEqualTo(2);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",direct=on"})
    void everyWriteWithFuaReachesTheKernel(String options) throws Exception {
        try (ServedDisk served = ServedDisk.serve(directory, "image:" + image() + ",size=8M,io=threads" + options);
                RawNbd client = RawNbd.open(served.nbdSocket())) {
            assertThat(client.transmissionFlags() & Nbd.FLAG_SEND_FUA).isNotZero();
            int fua = 8;

            long withFua = syncs(served, () -> writes(client, Nbd.CMD_FLAG_FUA, fua));
            long without = syncs(served, () -> writes(client, 0, fua));

            assertThat(withFua).isGreaterThanOrEqualTo(fua);
            assertThat(without).isZero();
        }
    }

    private static void writes(RawNbd client, int flags, int count) {
        try {
            for (int i = 0; i < count; i++) {
                byte[] data = TestData.bytes(i, 4096);
                client.send(RawNbd.request(Nbd.CMD_WRITE, flags, i, i * 4096L, data.length));
                client.send(ByteBuffer.wrap(data));
                assertThat(client.receiveAnswer()).isEqualTo(new RawNbd.Answer(0, i));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    // ---- a full file system

    @ParameterizedTest
    @ValueSource(strings = {",io=threads", ",io=uring"})
    void aFullFileSystemIsAnErrorOfTheRequestAndPasses(String options) throws Exception {
        Tool.requireRoot("a small file system is mounted");
        Path small = Files.createDirectory(directory.resolve("small"));
        Exec.Result mounted = Exec.run("mount", "-t", "tmpfs", "-o", "size=8M", "none", small);
        if (mounted.exitCode() != 0) {
            Tool.skip("tmpfs can not be mounted here: " + mounted.err().trim());
        }
        try {
            Path full = small.resolve("disk.img");
            Path ballast = TestData.file(small.resolve("ballast"), 1, 4 << 20);
            try (ServedDisk served = ServedDisk.serve(directory, "image:" + full + ",size=64M" + options);
                    RawNbd client = RawNbd.open(served.nbdSocket())) {
                served.expectErrors("No space left|ENOSPC|no space");
                byte[] data = TestData.bytes(2, 1 << 20);
                int written = 0;
                int error = 0;
                while (error == 0 && written < 16) {
                    error = client.write((long) written << 20, data);
                    written += error == 0 ? 1 : 0;
                }
                assertThat(error).isEqualTo(Nbd.ENOSPC);
                assertThat(written).isBetween(1, 4);

                assertThat(client.read(0, data.length)).isEqualTo(data);
                Files.delete(ballast);
                assertThat(client.write((long) written << 20, data)).isZero();
                assertThat(client.read((long) written << 20, data.length)).isEqualTo(data);
                assertThat(client.command(Nbd.CMD_FLUSH, 0, 0, 0)).isZero();
                client.disconnect();
            }
        } finally {
            Exec.run("umount", small).ok();
        }
    }
}

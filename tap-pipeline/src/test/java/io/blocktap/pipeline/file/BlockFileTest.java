package io.blocktap.pipeline.file;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.file.BlockFile.Access;
import io.blocktap.pipeline.file.BlockFile.Caching;
import io.blocktap.transport.memory.MappedRegion;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BlockFileTest {
    @TempDir
    Path directory;

    private Path image() {
        return directory.resolve("d.img");
    }

    private BlockFile create() throws StageException {
        return BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, 1 << 20);
    }

    @Test
    void twoWritersOfOneImageAreRefused() throws Exception {
        BlockFile first = create();
        try {
            assertThatThrownBy(() -> BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1))
                    .isInstanceOf(StageException.class)
                    .hasMessageContaining(
                            "in use by another disk of this server; two could destroy it; detach that one");
            assertThatThrownBy(() -> BlockFile.open(image(), Access.READ_ONLY, Caching.CACHED, -1))
                    .hasMessageContaining("which writes it");
        } finally {
            first.close();
        }
        BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1).close();
    }

    /** Holds the lock of a file for some time, from another process, which then ends. */
    private Process holdLock(String seconds) throws Exception {
        Process holder = new ProcessBuilder("flock", image().toString(), "sh", "-c", "echo locked; sleep " + seconds)
                .redirectErrorStream(true)
                .start();
        assertThat(holder.inputReader().readLine()).isEqualTo("locked");
        return holder;
    }

    @Test
    void lockThatAnotherProcessLetsGoSoonIsWaitedFor() throws Exception {
        create().close();
        Process holder = holdLock("0.7");
        try {
            BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1).close();
        } finally {
            holder.destroyForcibly();
        }
    }

    @Test
    void whoWaitsForALockDoesNotKeepOffAnotherWhoWaits() throws Exception {
        create().close();
        Process holder = holdLock("0.7");
        try {
            List<CompletableFuture<Optional<BlockFile>>> both = new ArrayList<>();
            for (int i = 0; i < 2; i++) {
                both.add(CompletableFuture.supplyAsync(
                        () -> {
                            try {
                                return Optional.of(BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1));
                            } catch (StageException e) {
                                return Optional.empty();
                            }
                        },
                        task -> new Thread(task).start()));
            }
            List<BlockFile> opened = new ArrayList<>();
            for (CompletableFuture<Optional<BlockFile>> each : both) {
                each.get(8, TimeUnit.SECONDS).ifPresent(opened::add); // not the 10 s of a process that has ended
            }
            assertThat(opened).hasSize(1);
            opened.forEach(BlockFile::close);
        } finally {
            holder.destroyForcibly();
        }
    }

    @Test
    void lockThatIsNotGivenIsAnErrorWhichNamesItsProcess() throws Exception {
        create().close();
        Process holder = holdLock("60");
        try {
            assertThatThrownBy(() -> BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1))
                    .hasMessageContaining("in use by another program, process ")
                    .hasMessageContaining("stop that one");
        } finally {
            holder.descendants().forEach(ProcessHandle::destroyForcibly);
            holder.destroyForcibly();
        }
    }

    @Test
    void lockOfAProcessThatHasEndedIsWaitedForLonger() throws Exception {
        create().close();
        // flock(1) ends at once; its lock lives on with the descriptor that the background process has, as with
        // io_uring's.
        Process holder = new ProcessBuilder(
                        "sh", "-c", "exec 9<>\"$0\"; flock 9; sleep 4 & echo locked", image().toString())
                .redirectErrorStream(true)
                .start();
        assertThat(holder.inputReader().readLine()).isEqualTo("locked");
        holder.waitFor(10, TimeUnit.SECONDS);

        BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1).close();
    }

    @Test
    void severalReadersShareAnImageAndKeepWritersOff() throws Exception {
        create().close();
        BlockFile one = BlockFile.open(image(), Access.READ_ONLY, Caching.CACHED, -1);
        BlockFile two = BlockFile.open(image(), Access.READ_ONLY, Caching.CACHED, -1);
        try {
            assertThatThrownBy(() -> BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1))
                    .hasMessageContaining("in use by another disk of this server");
        } finally {
            one.close();
            two.close();
        }
    }

    @Test
    void qemuKeepsOffAnImageThatIsServed() throws Exception {
        requireTool("qemu-io");
        BlockFile file = create();
        try {
            String output = run("qemu-io", "-f", "raw", "-c", "write 0 4096", image().toString());
            assertThat(output).contains("lock");
        } finally {
            file.close();
        }
        assertThat(run("qemu-io", "-f", "raw", "-c", "write 0 4096", image().toString()))
                .contains("wrote 4096/4096");
    }

    @Test
    void anImageThatQemuWritesIsRefusedAndFreeAgainAfterwards() throws Exception {
        requireTool("qemu-nbd");
        create().close();
        Path socket = directory.resolve("q.sock");
        Process qemu = new ProcessBuilder("qemu-nbd", "-f", "raw", "-k", socket.toString(), image().toString())
                .redirectErrorStream(true)
                .start();
        try {
            Awaitility.await().until(() -> Files.exists(socket));
            assertThatThrownBy(() -> BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1))
                    .hasMessageContaining("in use by another program");
        } finally {
            qemu.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
        }
        BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1).close();
    }

    @Test
    void whatCanNotBeOpenedIsToldInWords() throws Exception {
        assertThatThrownBy(() -> BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1))
                .hasMessageContaining("does not exist; give size=");
        assertThatThrownBy(() -> BlockFile.open(directory, Access.READ_WRITE, Caching.CACHED, -1))
                .hasMessageContaining("is a directory");
        Files.createFile(image());
        assertThatThrownBy(() -> BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, -1))
                .hasMessageContaining("is empty; make it as large as the disk is to be: truncate -s 1073741824 ");
        assertThatThrownBy(() -> BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, 4096))
                .hasMessageContaining("is empty; make it as large")
                .hasMessageContaining("or remove it and give size=4096");
        Files.write(image(), new byte[512]);
        assertThatThrownBy(() -> BlockFile.open(image(), Access.READ_WRITE, Caching.CACHED, 1024))
                .hasMessageContaining("exists with 512 bytes, size= says 1024");
        assertThatThrownBy(() -> BlockFile.open(Path.of("/dev/null"), Access.READ_WRITE, Caching.CACHED, -1))
                .hasMessageContaining("neither a regular file nor a block device");
    }

    @Test
    void fileThatWasCutShortFailsReadsAndIsNotExtendedByThem() throws Exception {
        BlockFile file = create();
        MappedRegion memory = MappedRegion.anonymous(8192);
        try {
            try (var channel = java.nio.channels.FileChannel.open(image(), java.nio.file.StandardOpenOption.WRITE)) {
                channel.truncate(4096);
            }
            assertThat(file.read(file.cachedFd(), memory.address(), 8192, 0)).isEqualTo(BlockStatus.IO_ERROR);
            assertThat(Files.size(image())).isEqualTo(4096);
        } finally {
            file.close();
            memory.release();
        }
    }

    @Test
    void punchedRangesGiveTheirStorageBackAndReadAsZeroes() throws Exception {
        BlockFile file = create();
        MappedRegion memory = MappedRegion.anonymous(1 << 20);
        try {
            for (int i = 0; i < 1 << 20; i++) {
                memory.view().put(i, (byte) 7);
            }
            assertThat(file.write(file.cachedFd(), memory.address(), 1 << 20, 0))
                    .isEqualTo(BlockStatus.OK);
            assertThat(file.sync()).isEqualTo(BlockStatus.OK);
            long before = blocks();
            assertThat(file.discard(0, 512 << 10)).isEqualTo(BlockStatus.OK);
            assertThat(blocks()).isLessThanOrEqualTo(before - (500 << 10) / 512);
            assertThat(file.zero(512 << 10, 4096, BlockFile.Allocation.KEEP, BlockFile.Speed.ANY))
                    .isEqualTo(BlockStatus.OK);
            assertThat(file.read(file.cachedFd(), memory.address(), 1 << 20, 0)).isEqualTo(BlockStatus.OK);
            assertThat(memory.view().get(0)).isZero();
            assertThat(memory.view().get(512 << 10)).isZero();
            assertThat(memory.view().get((512 << 10) + 4096)).isEqualTo((byte) 7);
        } finally {
            file.close();
            memory.release();
        }
    }

    private long blocks() throws Exception {
        return Long.parseLong(run("stat", "-c", "%b", image().toString()).trim());
    }

    private static void requireTool(String tool) throws Exception {
        boolean present;
        try {
            new ProcessBuilder(tool, "--version")
                    .redirectErrorStream(true)
                    .start()
                    .waitFor();
            present = true;
        } catch (IOException e) {
            present = false;
        }
        Assumptions.assumeTrue(present, tool + " is not installed");
    }

    private static String run(String... command) throws Exception {
        Process process =
                new ProcessBuilder(List.of(command)).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        process.waitFor();
        return output;
    }
}

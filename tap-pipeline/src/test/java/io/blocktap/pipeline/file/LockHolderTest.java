package io.blocktap.pipeline.file;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class LockHolderTest {
    private static final List<String> LOCKS = List.of(
            "1: OFDLCK ADVISORY  READ -1 fe:00:2171665 100 101",
            "2: FLOCK  ADVISORY  WRITE 99 fd:00:2171665 0 EOF",
            "3: FLOCK  ADVISORY  WRITE 0 fe:00:2171665 0 EOF",
            "3: -> FLOCK  ADVISORY  WRITE 77 fe:00:2171665 0 EOF",
            "4: FLOCK  ADVISORY  WRITE 22225 fe:00:2171665 0 EOF",
            "5: FLOCK  ADVISORY  READ 33 103:100:5 0 EOF");

    @TempDir
    private Path directory;

    @Test
    void findsTheProcessByDeviceAndInode() {
        assertThat(LockHolder.find(LOCKS, 0xfe00, 2171665)).contains("22225");
        assertThat(LockHolder.find(LOCKS, 0xfd00, 2171665)).contains("99");
        assertThat(LockHolder.find(LOCKS, 0xfe00, 2171666)).isEmpty();
        long majorHex103MinorHex100 = 0x103L << 8 | 0x100L << 12;
        assertThat(LockHolder.find(LOCKS, majorHex103MinorHex100, 5)).contains("33");
    }

    @Test
    void nobodyHoldsAFileThatIsNotLocked() throws Exception {
        assertThat(LockHolder.of(Files.createFile(directory.resolve("free.img"))))
                .isEmpty();
        assertThat(LockHolder.of(directory.resolve("none.img"))).isEmpty();
    }

    @Test
    void whoHasAFileOpenIsTakenForTheHolderIfNobodyIsTold() throws Exception {
        Path file = Files.createFile(directory.resolve("open.img"));
        Process sleeper =
                new ProcessBuilder("sh", "-c", "exec 9<\"$0\"; echo open; read wait", file.toString()).start();
        try {
            assertThat(sleeper.inputReader().readLine()).isEqualTo("open");
            assertThat(LockHolder.of(file)).contains("process " + sleeper.pid() + " (sh)");
        } finally {
            sleeper.destroyForcibly().waitFor();
        }
        assertThat(LockHolder.of(file)).isEmpty();
    }
}

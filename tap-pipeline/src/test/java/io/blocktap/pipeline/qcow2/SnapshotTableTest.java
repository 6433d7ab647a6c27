package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.StageException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Tables of snapshots with everything that the format allows, and with what it doesn't. Qcow2InfoIT has one that qemu-img made. */
@Timeout(30)
class SnapshotTableTest {
    private static final int CLUSTER = 512;
    private static final int TABLE = 3 * CLUSTER;

    @TempDir
    private Path directory;

    private final ByteBuffer image = ByteBuffer.allocate(1 << 20);
    private int next = TABLE;

    @BeforeEach
    void makeHeader() {
        image.putInt(0, 0x514649fb).putInt(4, 3).putInt(20, 9);
        image.putInt(36, 1).putLong(40, CLUSTER); // L1
        image.putLong(48, 2 * CLUSTER).putInt(56, 1); // refcounts
        image.putLong(64, TABLE);
        image.putInt(96, 4).putInt(100, 104);
    }

    private void add(String id, String name, long clockNanos, int stateBytes, long... extra) {
        byte[] idBytes = id.getBytes(StandardCharsets.UTF_8);
        byte[] nameBytes = name.getBytes(StandardCharsets.UTF_8);
        image.position(next);
        image.putLong(CLUSTER).putInt(1);
        image.putShort((short) idBytes.length).putShort((short) nameBytes.length);
        image.putInt((int) 4_000_000_000L).putInt(999_999_999);
        image.putLong(clockNanos).putInt(stateBytes).putInt(extra.length * Long.BYTES);
        Arrays.stream(extra).forEach(image::putLong);
        image.put(idBytes).put(nameBytes);
        next = image.position() + 7 & ~7;
        image.putInt(60, image.getInt(60) + 1);
    }

    private List<Snapshot> read() throws StageException {
        SparseBytes content = new SparseBytes();
        content.write(0, image.array(), 0, next + CLUSTER);
        ImageStorage storage = new BytesStorage(content);
        return SnapshotTable.read(storage, Qcow2Header.read(storage)).snapshots();
    }

    @Test
    void eachIsReadWithWhatItHas() throws Exception {
        add("1", "old", 5, -1);
        add("2", "äöü \u2028", 3_000_000_005L, 7, 1L << 33);
        add("", "", -1, 7, 0, 1 << 20);
        add("a b", "n", 0, 7, 0, 1 << 20, 77);
        add("5", "n", 0, 7, 0, 1 << 20, Snapshot.NO_ICOUNT, 9, 9, 9);

        long date = 4_000_000_000L;
        assertThat(read())
                .containsExactly(
                        new Snapshot("1", "old", 0xffff_ffffL, date, 999_999_999, 5, -1, CLUSTER, 1),
                        new Snapshot("2", "äöü \u2028", 1L << 33, date, 999_999_999, 3_000_000_005L, -1, CLUSTER, 1),
                        new Snapshot("", "", 0, date, 999_999_999, -1, -1, CLUSTER, 1),
                        new Snapshot("a b", "n", 0, date, 999_999_999, 0, 77, CLUSTER, 1),
                        new Snapshot("5", "n", 0, date, 999_999_999, 0, -1, CLUSTER, 1));
    }

    @Test
    void theCountOfInstructionsIsToldOnlyIfItIsThere() {
        Snapshot without = new Snapshot("1", "n", 2, 3, 4, 5_000_000_006L, Snapshot.NO_ICOUNT, CLUSTER, 1);

        assertThat(without.fields())
                .isEqualTo(Map.of(
                        "id", "1",
                        "name", "n",
                        "vm-state-size", 2L,
                        "date-sec", 3L,
                        "date-nsec", 4L,
                        "vm-clock-sec", 5L,
                        "vm-clock-nsec", 6L));
        assertThat(new Snapshot("1", "n", 2, 3, 4, -1, 7, CLUSTER, 1).fields())
                .containsEntry("icount", 7L)
                .containsEntry("vm-clock-sec", 18_446_744_073L)
                .containsEntry("vm-clock-nsec", 709_551_615L);
    }

    @ParameterizedTest
    @CsvSource({
        "60, 4, -1, has 4294967295 snapshots; at most 65536 are possible",
        "60, 4, 65537, has 65537 snapshots",
        "60, 4, 65536, has a table of 65536 snapshots that ends after",
        "64, 8, 0, snapshots_offset is 0; it is a multiple of 512",
        "64, 8, 513, snapshots_offset is 513",
        "64, 8, -512, snapshots_offset is -512",
        "64, 8, 9223372036854775296, ends after 0 of them",
        "1572, 4, -1, has a snapshot with 4294967295 bytes of extra data; at most 1024 are possible",
        "1572, 4, 1025, has a snapshot with 1025 bytes of extra data",
    })
    void whatCanNotBeRightIsRefused(int offset, int bytes, long value, String why) {
        add("1", "n", 0, 0);
        if (bytes == Long.BYTES) {
            image.putLong(offset, value);
        } else {
            image.putInt(offset, (int) value);
        }

        assertThatThrownBy(this::read)
                .isInstanceOf(StageException.class)
                .hasMessageContainingAll("bytes.qcow2 ", why, "qemu-img check -r all");
    }

    /** The file is sparse: it costs nothing to make one with many gibibytes of names. */
    @Test
    void namesAreNotReadWithoutBound() throws Exception {
        Path file = directory.resolve("image.qcow2");
        int entry = 40 + 2 * 0xffff + 2;
        int some = 400;
        image.putInt(60, 65536);
        Files.write(file, image.array());
        try (java.io.RandomAccessFile open = new java.io.RandomAccessFile(file.toFile(), "rw")) {
            for (int i = 0; i < some; i++) {
                open.seek(TABLE + (long) i * entry + 12);
                open.writeInt(-1);
            }
            open.setLength(65536L * entry);
        }

        assertThatThrownBy(() -> {
                    try (HeaderFile open = HeaderFile.open(file)) {
                        SnapshotTable.read(open, Qcow2Header.read(open));
                    }
                })
                .isInstanceOf(StageException.class)
                .hasMessageContaining("that ends after 128 of them, or has more than 16777216 bytes");
    }
}

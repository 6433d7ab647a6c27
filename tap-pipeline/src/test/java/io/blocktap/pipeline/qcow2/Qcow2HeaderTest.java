package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A good header is read; one with a field that can't be right is refused, in words that name it. */
class Qcow2HeaderTest {
    private static final int CLUSTER_BITS = 12;
    private static final int CLUSTER = 1 << CLUSTER_BITS;
    private static final long SIZE = 64 << 20;
    private static final int FEATURES = 72;
    private static final int EXTENSIONS = 112;

    private SparseBytes image = new SparseBytes();

    @BeforeEach
    void makeGood() throws StageException {
        Qcow2Format.create(new BytesStorage(image), SIZE, CLUSTER_BITS, "base.img", "raw");
    }

    private Qcow2Header read() throws StageException {
        return Qcow2Header.read(new BytesStorage(image));
    }

    /** Overwrites a field; a number of so many bytes, big-endian. */
    private void put(int offset, int bytes, long value) {
        byte[] all = ByteBuffer.allocate(Long.BYTES).putLong(value).array();
        image.write(offset, all, Long.BYTES - bytes, bytes);
    }

    private void assertRefused(String message) {
        assertThatThrownBy(this::read).isInstanceOf(StageException.class).hasMessage(BytesStorage.NAME + message);
    }

    private void assertUnusable(boolean forWriting, String message) throws StageException {
        Qcow2Header header = read();
        assertThatThrownBy(() -> header.requireUsable("i.qcow2", forWriting))
                .isInstanceOf(StageException.class)
                .hasMessage(message);
    }

    @Test
    void aGoodHeaderIsReadWhole() throws StageException {
        Qcow2Header header = read();

        assertThat(header.version()).isEqualTo(3);
        assertThat(header.clusterBits()).isEqualTo(CLUSTER_BITS);
        assertThat(header.sizeBytes()).isEqualTo(SIZE);
        assertThat(header.backingFile()).isEqualTo("base.img");
        assertThat(header.backingFormat()).isEqualTo("raw");
        assertThat(header.isEncrypted()).isFalse();
        assertThat(header.l1Entries()).isEqualTo(32);
        assertThat(header.refcountOrder()).isEqualTo(4);
        assertThat(header.snapshots()).isZero();
        assertThat(header.compression()).isEqualTo(Compression.ZLIB);
        assertThat(header.featureNames()).containsEntry(0, "dirty bit").containsEntry(256, "lazy refcounts");
        header.requireUsable("i.qcow2", true);
    }

    /** QEMU makes no table for it. */
    @Test
    void anImageOfSizeZeroNeedsNoTable() throws StageException {
        put(24, 8, 0);
        put(36, 4, 0);
        put(40, 8, 0);

        assertThat(read().sizeBytes()).isZero();
    }

    @Test
    void aDiskIsOfWholeSectors() throws StageException {
        put(24, 8, SIZE - 1);

        assertThat(read().sizeBytes()).isEqualTo(SIZE - 512);
    }

    // ---- one field that is wrong

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "version                 |   4 | 4 | 0                   | is a qcow2 image of version 0; 2 and 3 are known, and qemu-img convert -O qcow2 makes one of it",
                "version                 |   4 | 4 | 4                   | is a qcow2 image of version 4; 2 and 3 are known, and qemu-img convert -O qcow2 makes one of it",
                "version                 |   4 | 4 | -1                  | is a qcow2 image of version -1; 2 and 3 are known, and qemu-img convert -O qcow2 makes one of it",
                "backing_file_offset     |   8 | 8 | 111                 | says in its header that its backing_file_offset is 111; it is 112 to 4088",
                "backing_file_offset     |   8 | 8 | 4089                | says in its header that its backing_file_offset is 4089; it is 112 to 4088",
                "backing_file_offset     |   8 | 8 | -1                  | says in its header that its backing_file_offset is -1; it is 112 to 4088",
                "backing_file_offset     |   8 | 8 | 4294967424          | says in its header that its backing_file_offset is 4294967424; it is 112 to 4088",
                "backing_file_size       |  16 | 4 | 1024                | says in its header that its backing_file_size is 1024; it is 0 to 1023",
                "backing_file_size       |  16 | 4 | -1                  | says in its header that its backing_file_size is -1; it is 0 to 1023",
                "cluster_bits            |  20 | 4 | 8                   | says in its header that its cluster_bits is 8; it is 9 to 21",
                "cluster_bits            |  20 | 4 | 22                  | says in its header that its cluster_bits is 22; it is 9 to 21",
                "cluster_bits            |  20 | 4 | -1                  | says in its header that its cluster_bits is -1; it is 9 to 21",
                "size                    |  24 | 8 | -1                  | says in its header that its size is -1; it is 0 to 9223372036854771711",
                "size                    |  24 | 8 | 9223372036854771712 | says in its header that its size is 9223372036854771712; it is 0 to 9223372036854771711",
                "crypt_method            |  32 | 4 | 3                   | says in its header that its crypt_method is 3; it is 0 to 2",
                "crypt_method            |  32 | 4 | -1                  | says in its header that its crypt_method is -1; it is 0 to 2",
                "l1_size                 |  36 | 4 | 4194305             | says in its header that its l1_size is 4194305; it is 0 to 4194304",
                "l1_size                 |  36 | 4 | -1                  | says in its header that its l1_size is -1; it is 0 to 4194304",
                "l1_size                 |  36 | 4 | 4194304             | says in its header that its l1_table_offset is 12288, and that table ends behind the file's 16384 bytes: it was cut short, or is damaged",
                "l1_table_offset         |  40 | 8 | 1                   | says in its header that its l1_table_offset is 1; it is a multiple of 4096",
                "l1_table_offset         |  40 | 8 | -4096               | says in its header that its l1_table_offset is -4096; it is a multiple of 4096",
                "l1_table_offset         |  40 | 8 | 16384               | says in its header that its l1_table_offset is 16384, and that table ends behind the file's 16384 bytes: it was cut short, or is damaged",
                "l1_table_offset         |  40 | 8 | 9223372036854771712 | says in its header that its l1_table_offset is 9223372036854771712, and that table ends behind the file's 16384 bytes: it was cut short, or is damaged",
                "refcount_table_offset   |  48 | 8 | 0                   | says in its header that its refcount_table_offset is 0; it is a multiple of 4096",
                "refcount_table_offset   |  48 | 8 | 4097                | says in its header that its refcount_table_offset is 4097; it is a multiple of 4096",
                "refcount_table_offset   |  48 | 8 | 16384               | says in its header that its refcount_table_offset is 16384, and that table ends behind the file's 16384 bytes: it was cut short, or is damaged",
                "refcount_table_clusters |  56 | 4 | 0                   | says in its header that its refcount_table_clusters is 0; it is 1 to 2048",
                "refcount_table_clusters |  56 | 4 | 2049                | says in its header that its refcount_table_clusters is 2049; it is 1 to 2048",
                "refcount_table_clusters |  56 | 4 | -1                  | says in its header that its refcount_table_clusters is -1; it is 1 to 2048",
                "refcount_table_clusters |  56 | 4 | 2048                | says in its header that its refcount_table_offset is 4096, and that table ends behind the file's 16384 bytes: it was cut short, or is damaged",
                "refcount_order          |  96 | 4 | 7                   | says in its header that its refcount_order is 7; it is 0 to 6",
                "refcount_order          |  96 | 4 | -1                  | says in its header that its refcount_order is -1; it is 0 to 6",
                "header_length           | 100 | 4 | 103                 | says in its header that its header_length is 103; it is 104 to 4096",
                "header_length           | 100 | 4 | 4097                | says in its header that its header_length is 4097; it is 104 to 4096",
                "header_length           | 100 | 4 | -1                  | says in its header that its header_length is -1; it is 104 to 4096",
                "compression_type        | 104 | 1 | 1                   | says in its header that its compression is of type 1 without the flag for it; 0 (zlib) and 1 (zstd) are known",
                "compression_type        | 104 | 1 | 255                 | says in its header that its compression is of type 255 without the flag for it; 0 (zlib) and 1 (zstd) are known",
                "compression flag        |  79 | 1 | 8                   | says in its header that its compression is of type 0; 0 (zlib) and 1 (zstd) are known",
                "length of an extension  | 116 | 4 | -1                  | says in its header that its length of a header extension is -1; it is 0 to 264",
                "length of an extension  | 116 | 4 | 265                 | says in its header that its length of a header extension is 265; it is 0 to 264",
            })
    void aFieldThatCanNotBeRightIsNamed(String field, int offset, int bytes, long value, String message) {
        put(offset, bytes, value);

        assertRefused(" " + message);
    }

    @ParameterizedTest
    @CsvSource({"0, 71", "0, 0"})
    void aFileThatIsTooShortForAHeaderIsNone(int from, int bytes) {
        byte[] start = image.read(from, bytes);
        image = new SparseBytes();
        image.write(0, start, 0, bytes);

        assertRefused(" is not a qcow2 image; a raw one is served by image:bytes.qcow2");
    }

    @Test
    void aFileThatBeginsOtherwiseIsNone() {
        put(3, 1, 0xfa);

        assertRefused(" is not a qcow2 image; a raw one is served by image:bytes.qcow2");
    }

    @ParameterizedTest
    @CsvSource({
        "vmdk, 0, 4, 0x4b444d56",
        "vmdk, 0, 4, 0x434f5744",
        "vhdx, 0, 8, 0x7668647866696c65",
        "vpc, 0, 8, 0x636f6e6563746978",
        "vdi, 64, 4, 0x7f10dabe"
    })
    void anImageOfAnotherFormatIsNamed(String format, int offset, int bytes, String magic) {
        put(0, 4, 0);
        put(offset, bytes, Long.decode(magic));

        assertRefused(" is not a qcow2 image; it looks like " + format
                + ": qemu-img convert -O qcow2 bytes.qcow2 makes one of it");
    }

    @Test
    void aFileThatWasCutShortIsRefused() {
        byte[] start = image.read(0, 2 * CLUSTER);
        image = new SparseBytes();
        image.write(0, start, 0, start.length);

        assertRefused(
                " says in its header that its l1_table_offset is 12288, and that table ends behind the file's 8192"
                        + " bytes: it was cut short, or is damaged");
    }

    @Test
    void aFileThatCanNotBeReadSaysSo() {
        ImageStorage broken = new BytesStorage(image) {
            @Override
            public BlockStatus read(ByteBuffer into, long offsetBytes) {
                return BlockStatus.IO_ERROR;
            }
        };

        assertThatThrownBy(() -> Qcow2Header.read(broken)).hasMessage("bytes.qcow2: its header can not be read");
    }

    // ---- what may be there

    @Test
    void aHeaderOfVersion2EndsBeforeTheFeatures() throws StageException {
        put(4, 4, 2);
        put(FEATURES, 8, -1);
        put(80, 8, -1);
        put(88, 8, -1);
        put(96, 4, -1);
        put(100, 4, -1);
        put(8, 8, 0);
        put(72, 8, 0); // no extensions

        Qcow2Header header = read();

        assertThat(header.version()).isEqualTo(2);
        assertThat(header.incompatibleFeatures()).isZero();
        assertThat(header.compatibleFeatures()).isZero();
        assertThat(header.autoclearFeatures()).isZero();
        assertThat(header.refcountOrder()).isEqualTo(4);
        header.requireUsable("i.qcow2", false);
        assertUnusable(
                true,
                "i.qcow2 is a qcow2 image of version 2, which is served read-only; to write it: qemu-img amend -o compat=v3 i.qcow2");
    }

    @Test
    void zstdNeedsTypeAndFlag() throws StageException {
        put(79, 1, 8);
        put(104, 1, 1);

        assertThat(read().compression()).isEqualTo(Compression.ZSTD);
        read().requireUsable("i.qcow2", true);
    }

    @Test
    void withoutABackingFileExtensionsEndWithTheCluster() throws StageException {
        put(8, 8, 0);
        put(16, 4, -1); // means nothing without an offset

        assertThat(read().backingFile()).isNull();
        assertThat(read().featureNames()).isNotEmpty();
    }

    @Test
    void anEmptyBackingFileNameIsNone() throws StageException {
        put(16, 4, 0);

        assertThat(read().backingFile()).isNull();
    }

    @Test
    void unknownExtensionsAreLeftOut() throws StageException {
        put(EXTENSIONS, 4, 0x12345678);

        assertThat(read().backingFormat()).isNull();
        assertThat(read().backingFile()).isEqualTo("base.img");
    }

    @Test
    void aFormatsTextIsTakenAsItIs() throws StageException {
        byte[] text = "\u001b\0x".getBytes(StandardCharsets.UTF_8);
        image.write(EXTENSIONS + 8, text, 0, text.length);

        assertThat(read().backingFormat()).isEqualTo("\u001b\0x");
    }

    // ---- what is read, but not served

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "1  | i.qcow2 was not closed by who wrote it last (lazy refcounts), so its refcounts may be wrong; mend them: qemu-img check -r all i.qcow2",
                "2  | i.qcow2 is marked as corrupt; make a copy of it, then: qemu-img check -r all i.qcow2",
                "3  | i.qcow2 is marked as corrupt; make a copy of it, then: qemu-img check -r all i.qcow2",
                "4  | i.qcow2 keeps its data in another file, which is not known here; qemu-img convert makes a copy that does not",
                "16 | i.qcow2 has subclusters (extended_l2=on), which are not known here; qemu-img convert -o extended_l2=off makes a copy without",
                "32 | i.qcow2 needs feature bit 5, which is not known here; a newer blocktap may know it, and qemu-img convert makes a copy without",
                "-9223372036854775808 | i.qcow2 needs feature bit 63, which is not known here; a newer blocktap may know it, and qemu-img convert makes a copy without",
            })
    void anIncompatibleFeatureIsRefusedEvenForReading(long features, String message) throws StageException {
        put(FEATURES, 8, features);

        assertUnusable(false, message);
        assertUnusable(true, message);
    }

    @Test
    void anUnknownFeatureHasItsNameFromTheImage() throws StageException {
        byte[] name = "\0\5quantum \u001b[31mleaps".getBytes(StandardCharsets.US_ASCII);
        image.write(EXTENSIONS + 16 + 8, name, 0, name.length);
        put(FEATURES, 8, 32);

        assertThat(read().featureNames().get(5)).startsWith("quantum [31mleaps");
        assertThatThrownBy(() -> read().requireUsable("i.qcow2", false))
                .hasMessageContaining("needs feature bit 5 (quantum [31mleaps");
    }

    @ParameterizedTest
    @CsvSource({"1", "2"})
    void anEncryptedImageIsRefused(int method) throws StageException {
        put(32, 4, method);

        assertUnusable(
                false,
                "i.qcow2 is encrypted, which is not known here; qemu-img convert makes a plain copy, if it is given the secret (--object secret, --image-opts)");
    }

    @Test
    void featuresThatNeedNotBeKnownAreNoReason() throws StageException {
        put(80, 8, -1);
        put(88, 8, -1);

        read().requireUsable("i.qcow2", true);
    }

    // ---- anything

    @Test
    void randomDamageIsReadOrRefusedByName() {
        SparseBytes good = image.copy();
        for (int seed = 0; seed < 3000; seed++) {
            Random random = new Random(seed);
            image = good.copy();
            for (int i = random.nextInt(4); i >= 0; i--) {
                byte[] bytes = new byte[1 + random.nextInt(8)];
                random.nextBytes(bytes);
                image.write(4 + random.nextInt(400), bytes, 0, bytes.length);
            }
            try {
                assertThat(read().clusterBits()).isBetween(9, 21);
            } catch (StageException e) {
                assertThat(e).as("seed %d", seed).hasMessageStartingWith(BytesStorage.NAME);
            } catch (RuntimeException e) {
                throw new AssertionError("seed " + seed, e);
            }
        }
    }
}

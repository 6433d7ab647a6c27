package io.blocktap.pipeline.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import java.math.BigInteger;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * QEMU, {@code docs/interop/qcow2.txt}, "Compressed Clusters Descriptor (x = 62 - (cluster_bits - 8))": bits 0 to x-1 are the host offset, bits x to 61 the number of additional sectors.
 */
class CompressedExtentTest {
    private static final long FLAGS = 3L << 62;

    static IntStream clusterBits() {
        return IntStream.rangeClosed(9, 21);
    }

    private static Layout layout(int clusterBits) {
        return new Layout(clusterBits, 1L << 40);
    }

    /** The bits of a word from one to another, both included, by arithmetic that can't go wrong at a word's ends. */
    private static long bits(long word, int from, int to) {
        BigInteger unsigned = new BigInteger(Long.toUnsignedString(word));
        return unsigned.shiftRight(from).mod(BigInteger.TWO.pow(to - from + 1)).longValueExact();
    }

    private static void assertAsSpecified(long entry, int clusterBits) {
        int x = 62 - (clusterBits - 8);
        long offset = bits(entry, 0, x - 1);
        long additionalSectors = bits(entry, x, 61);
        long end = (offset / 512 + 1 + additionalSectors) * 512;

        String what = String.format("%016x with %d cluster bits", entry, clusterBits);
        assertThat(CompressedExtent.offset(entry, layout(clusterBits))).as(what).isEqualTo(offset);
        assertThat(CompressedExtent.length(entry, layout(clusterBits))).as(what).isEqualTo((int) (end - offset));
    }

    @ParameterizedTest
    @MethodSource("clusterBits")
    void eachBitIsWhereTheSpecificationHasIt(int clusterBits) {
        for (int bit = 0; bit < 62; bit++) {
            assertAsSpecified(1L << bit, clusterBits);
            assertAsSpecified(FLAGS | 1L << bit, clusterBits);
            assertAsSpecified((1L << bit) - 1, clusterBits);
            assertAsSpecified(~(1L << bit), clusterBits);
        }
        assertAsSpecified(FLAGS, clusterBits);
        assertAsSpecified(-1, clusterBits);
    }

    @ParameterizedTest
    @MethodSource("clusterBits")
    void randomEntriesAreReadAsSpecified(int clusterBits) {
        Random random = new Random(clusterBits);
        for (int i = 0; i < 1000; i++) {
            assertAsSpecified(random.nextLong(), clusterBits);
        }
    }

    /** What the length of a buffer is taken from: at least a byte, and at most two clusters, whatever the entry holds. */
    @ParameterizedTest
    @MethodSource("clusterBits")
    void aHostileEntryHasBounds(int clusterBits) {
        Random random = new Random(clusterBits);
        for (int i = 0; i < 1000; i++) {
            long entry = i == 0 ? -1 : i == 1 ? 511 : i == 2 ? ~511L : random.nextLong() | FLAGS;

            assertThat(CompressedExtent.length(entry, layout(clusterBits))).isBetween(1, 2 << clusterBits);
            assertThat(CompressedExtent.offset(entry, layout(clusterBits))).isBetween(0L, (1L << 61) - 1);
        }
    }

    @ParameterizedTest
    @CsvSource({
        // Worked out by hand. 512 bytes: x is 61, one bit for sectors.
        "9, 4000000000000000, 0, 512",
        "9, 6000000000000000, 0, 1024",
        "9, 60000000000001ff, 1ff, 513",
        "9, 5fffffffffffffff, 1fffffffffffffff, 1",
        // 64 KiB: x is 54, eight bits.
        "16, 4000000000050000, 50000, 512",
        "16, 4040000000050001, 50001, 1023",
        "16, 7fc0000000050000, 50000, 131072",
        // 2 MiB: x is 49, thirteen bits.
        "21, 4002000000000200, 200, 1024",
        "21, 7ffe000000000000, 0, 4194304",
    })
    void examples(int clusterBits, String entryHex, String offsetHex, int lengthBytes) {
        long entry = number(entryHex);

        assertThat(CompressedExtent.offset(entry, layout(clusterBits))).isEqualTo(number(offsetHex));
        assertThat(CompressedExtent.length(entry, layout(clusterBits))).isEqualTo(lengthBytes);
    }

    private static long number(String hex) {
        return Long.parseUnsignedLong(hex, 16);
    }

    @Test
    void theFlagsAreNoPartOfIt() {
        long entry = 0x0040_0000_0005_0001L;

        for (long flags : new long[] {0, 1L << 62, 1L << 63, FLAGS}) {
            assertThat(CompressedExtent.offset(flags | entry, layout(16))).isEqualTo(0x50001);
            assertThat(CompressedExtent.length(flags | entry, layout(16))).isEqualTo(1023);
        }
    }
}

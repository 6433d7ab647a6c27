package io.blocktap.pipeline.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import io.blocktap.pipeline.BlockOp;
import io.blocktap.pipeline.BlockRequest;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.Geometry;
import java.util.Arrays;
import java.util.Random;

/**
 * Does random operations to a part of a disk and to a byte array, and compares them byte for byte. The test's thread only.
 *
 * <p>What a discarded range reads as is the disk's choice; the oracle reads it once and then expects the same.
 */
public final class Oracle {
    private static final int READ_BYTES = 1 << 20;

    private final TestClient client;
    private final Geometry geometry;
    private final long start;
    private final byte[] expected;
    private final Random random;
    private final String name;

    /**
     * Learns what a part of the disk holds now.
     *
     * @param start a multiple of the smallest unit of I/O
     * @param lengthBytes likewise
     * @param seed of the random operations; failures print it
     */
    public Oracle(TestClient client, Geometry geometry, long start, int lengthBytes, long seed) {
        this.client = client;
        this.geometry = geometry;
        this.start = start;
        this.expected = new byte[lengthBytes];
        this.random = new Random(seed);
        this.name = "seed " + seed;
        learn(0, lengthBytes);
    }

    private void learn(int offset, int lengthBytes) {
        for (int done = 0; done < lengthBytes; done += READ_BYTES) {
            byte[] part = client.read(start + offset + done, Math.min(READ_BYTES, lengthBytes - done));
            System.arraycopy(part, 0, expected, offset + done, part.length);
        }
    }

    /** Does random operations of up to {@code longest} bytes each. */
    public void exercise(int operations, int longest) {
        for (int i = 0; i < operations; i++) {
            client.using(BufferKind.values()[random.nextInt(BufferKind.values().length)]);
            step(name + ", operation " + i, longest);
        }
        client.using(BufferKind.SLAB);
        verifyAll();
    }

    private void step(String where, int longest) {
        int unit = geometry.minimumIoBytes();
        int units = expected.length / unit;
        // Half of the places lie around multiples of 4096, where pages, clusters and chunks meet.
        int offset = random.nextInt(units) * unit;
        if (random.nextBoolean()) {
            offset = Math.max(0, offset / 4096 * 4096 + (random.nextInt(5) - 2) * unit) / unit * unit;
            offset = Math.min(offset, (units - 1) * unit);
        }
        int most = Math.min(longest, expected.length - offset) / unit;
        int length =
                (1 + random.nextInt(random.nextInt(4) == 0 ? most : Math.min(most, Math.max(1, 8192 / unit)))) * unit;
        operate(where, offset, length);
    }

    private void operate(String where, int offset, int length) {
        int choice = random.nextInt(20);
        int fua = geometry.has(Feature.FUA) && random.nextInt(4) == 0 ? BlockRequest.FUA : 0;
        if (choice < 8) {
            byte[] read = client.read(start + offset, length);
            compare(where, offset, read);
        } else if (choice < 15) {
            byte[] data = new byte[length];
            random.nextBytes(data);
            client.call(BlockOp.WRITE, fua, start + offset, length, data).ok();
            System.arraycopy(data, 0, expected, offset, length);
        } else if (choice < 17 && geometry.has(Feature.WRITE_ZEROES)) {
            int keep = random.nextBoolean() ? BlockRequest.KEEP_ALLOCATED : 0;
            client.call(BlockOp.WRITE_ZEROES, fua | keep, start + offset, length, new byte[0])
                    .ok();
            Arrays.fill(expected, offset, offset + length, (byte) 0);
        } else if (choice < 19 && geometry.has(Feature.DISCARD)) {
            client.discard(start + offset, length);
            learn(offset, length);
        } else if (geometry.has(Feature.FLUSH)) {
            client.flush();
        }
    }

    private void compare(String where, int offset, byte[] read) {
        int difference = Arrays.mismatch(read, Arrays.copyOfRange(expected, offset, offset + read.length));
        assertThat(difference)
                .as("%s: first wrong byte of %d at %d", where, read.length, start + offset)
                .isEqualTo(-1);
    }

    /** Reads all and compares. */
    public void verifyAll() {
        for (int done = 0; done < expected.length; done += READ_BYTES) {
            compare(
                    name + ", at the end",
                    done,
                    client.read(start + done, Math.min(READ_BYTES, expected.length - done)));
        }
    }

    /** Returns what the part of the disk holds. */
    public byte[] expected() {
        return expected;
    }
}

package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/**
 * Makes empty qcow2 images of version 3.
 *
 * <p>Source: QEMU, {@code docs/interop/qcow2.txt}.
 */
public final class Qcow2Format {
    private static final int SECTOR_BYTES = 512;
    private static final int REFCOUNT_ORDER = 4;
    private static final int REFCOUNT_BYTES = 2;
    private static final int HEADER_BYTES = 112;
    private static final int MOST_L1_BYTES = 32 << 20;
    private static final int MOST_CLUSTER_BITS = 21;

    private Qcow2Format() {}

    /**
     * Writes an empty image. May wait. The storage must be empty, or hold only zeroes.
     *
     * @param sizeBytes the disk's size; a multiple of 512, since QEMU leaves the rest out
     * @param clusterBits 9 to 21
     * @param backingFile the name of what is below as it is to stand in the image; null if it is not to be told
     * @param backingFormat its format: {@code raw} or {@code qcow2}
     * @throws StageException if the numbers do not fit together, or it can not be written
     */
    public static void create(
            ImageStorage storage,
            long sizeBytes,
            int clusterBits,
            @Nullable String backingFile,
            @Nullable String backingFormat)
            throws StageException {
        if (sizeBytes < 0) {
            throw new IllegalArgumentException("a disk of " + sizeBytes + " bytes");
        }
        if (sizeBytes % SECTOR_BYTES != 0) {
            throw new StageException(storage.name() + ": a qcow2 image is of whole sectors of " + SECTOR_BYTES
                    + " bytes, and a disk of " + sizeBytes + " bytes is not; make it "
                    + (sizeBytes + SECTOR_BYTES - 1 & -SECTOR_BYTES));
        }
        Layout layout = new Layout(clusterBits, sizeBytes);
        long clusterBytes = layout.clusterBytes();
        long l1Bytes = Math.max(1, layout.l1Entries()) * Long.BYTES; // a cluster for no entry would have no user
        if (l1Bytes > MOST_L1_BYTES) {
            throw new StageException(storage.name() + ": " + tooSmall(clusterBits, sizeBytes));
        }
        long l1Clusters = layout.clustersFor(l1Bytes);
        long perBlock = clusterBytes / REFCOUNT_BYTES;
        // For all data and all L2 tables; the blocks and the table itself are then less than one in two hundred more.
        long most = layout.clusters() + (layout.clusters() >>> layout.l2Bits()) + l1Clusters + 8;
        long blocks = (most + most / 128) / perBlock + 2;
        long tableClusters = Math.min(layout.clustersFor(blocks * Long.BYTES), (8 << 20) / clusterBytes);
        long used = 1 + tableClusters + l1Clusters;
        long firstBlocks = 1;
        while (firstBlocks * perBlock < used + firstBlocks) {
            firstBlocks++;
        }
        long blocksStart = 1 + tableClusters;
        long l1Start = blocksStart + firstBlocks;
        used += firstBlocks;

        for (long i = 0; i < firstBlocks; i++) {
            ByteBuffer block = ByteBuffer.allocateDirect((int) clusterBytes);
            for (long j = 0; j < perBlock && i * perBlock + j < used; j++) {
                block.putShort((int) j * REFCOUNT_BYTES, (short) 1);
            }
            write(storage, block, blocksStart + i << clusterBits);
        }
        ByteBuffer table = ByteBuffer.allocateDirect((int) (tableClusters * clusterBytes));
        for (int i = 0; i < firstBlocks; i++) {
            table.putLong(i * Long.BYTES, blocksStart + i << clusterBits);
        }
        write(storage, table, clusterBytes);
        ByteBuffer l1 = ByteBuffer.allocateDirect((int) (l1Clusters * clusterBytes));
        write(storage, l1, l1Start << clusterBits);
        sync(storage);

        ByteBuffer header = ByteBuffer.allocateDirect((int) clusterBytes);
        header.putInt(Qcow2Header.MAGIC).putInt(3).putLong(0).putInt(0).putInt(clusterBits);
        header.putLong(sizeBytes).putInt(0);
        header.putInt((int) (l1Bytes / Long.BYTES)).putLong(l1Start << clusterBits);
        header.putLong(clusterBytes).putInt((int) tableClusters);
        header.putInt(0).putLong(0); // snapshots
        header.putLong(0).putLong(0).putLong(0); // features
        header.putInt(REFCOUNT_ORDER).putInt(HEADER_BYTES);
        header.putLong(0); // compression type zlib, and what follows it
        if (backingFile != null) {
            putBacking(storage, header, backingFile, backingFormat);
        } else {
            putFeatureNames(header);
        }
        write(storage, header, 0);
        sync(storage);
    }

    private static void putBacking(
            ImageStorage storage, ByteBuffer header, String backingFile, @Nullable String backingFormat)
            throws StageException {
        byte[] name = backingFile.getBytes(StandardCharsets.UTF_8);
        byte[] format = (backingFormat == null ? "raw" : backingFormat).getBytes(StandardCharsets.US_ASCII);
        int room = header.capacity() - HEADER_BYTES - 2 * Long.BYTES - (format.length + 7 & ~7);
        if (name.length > Qcow2Header.LONGEST_BACKING_FILE || name.length > room) {
            throw new StageException(storage.name() + ": the name of its backing file has " + name.length
                    + " bytes; at most " + Math.min(Qcow2Header.LONGEST_BACKING_FILE, room) + " can be told in it");
        }
        header.putInt(Qcow2Header.EXTENSION_BACKING_FORMAT)
                .putInt(format.length)
                .put(format);
        header.position(header.position() + 7 & ~7);
        if (name.length + 5 * Qcow2Header.FEATURE_NAME_BYTES + 4 * Long.BYTES <= header.remaining()) {
            putFeatureNames(header);
        }
        header.putLong(0); // end of extensions
        header.putLong(8, header.position()).putInt(16, name.length);
        header.put(name);
    }

    /** So that a program that does not know a feature can at least name it. */
    private static void putFeatureNames(ByteBuffer header) {
        String[] names = {"dirty bit", "corrupt bit", "external data file", "compression type"};
        int bytes = (names.length + 1) * Qcow2Header.FEATURE_NAME_BYTES;
        if (header.remaining() < bytes + 2 * Long.BYTES) {
            return;
        }
        header.putInt(Qcow2Header.EXTENSION_FEATURE_NAMES).putInt(bytes);
        for (int bit = 0; bit < names.length; bit++) {
            putName(header, 0, bit, names[bit]);
        }
        putName(header, 1, 0, "lazy refcounts");
    }

    private static void putName(ByteBuffer header, int type, int bit, String name) {
        int next = header.position() + Qcow2Header.FEATURE_NAME_BYTES;
        header.put((byte) type).put((byte) bit).put(name.getBytes(StandardCharsets.US_ASCII));
        header.position(next);
    }

    private static void write(ImageStorage storage, ByteBuffer bytes, long offsetBytes) throws StageException {
        check(storage, storage.write(bytes.clear(), offsetBytes));
    }

    private static void sync(ImageStorage storage) throws StageException {
        check(storage, storage.sync());
    }

    private static void check(ImageStorage storage, BlockStatus status) throws StageException {
        if (status != BlockStatus.OK) {
            throw new StageException(storage.name() + ": the new image could not be written: " + status);
        }
    }

    private static String tooSmall(int clusterBits, long sizeBytes) {
        int least = clusterBits + 1;
        while (least <= MOST_CLUSTER_BITS && new Layout(least, sizeBytes).l1Entries() * Long.BYTES > MOST_L1_BYTES) {
            least++;
        }
        return "a disk of " + sizeBytes + " bytes "
                + (least > MOST_CLUSTER_BITS
                        ? "is larger than a qcow2 image can be"
                        : "needs larger clusters than " + (1 << clusterBits) + " bytes; cluster-size=" + (1 << least)
                                + " or more will do");
    }
}

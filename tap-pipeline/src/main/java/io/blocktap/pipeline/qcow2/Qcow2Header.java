package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * What the header of a qcow2 image says.
 *
 * <p>Source: QEMU, {@code docs/interop/qcow2.txt}, "Header"; the bounds are those of QEMU's {@code block/qcow2.h}.
 *
 * @param version 2 or 3
 * @param clusterBits a cluster has {@code 1 << clusterBits} bytes
 * @param sizeBytes the disk's size, in whole sectors: what the header has beyond is no part of the disk, as with QEMU
 * @param backingFile the name of what is below, as it stands there; null if there is nothing
 * @param backingFormat the format of what is below; null if it is not told
 * @param isEncrypted whether the data are encrypted
 * @param l1Offset where the L1 table begins
 * @param l1Entries how many entries it has
 * @param refcountTableOffset where the refcount table begins
 * @param refcountTableClusters how many clusters it has
 * @param refcountOrder refcounts have {@code 1 << refcountOrder} bits
 * @param snapshots how many internal snapshots there are
 * @param incompatibleFeatures bits that must be understood by whoever opens it
 * @param compatibleFeatures bits that need not
 * @param autoclearFeatures bits that are to be cleared by whoever writes it and does not understand them
 * @param compression of compressed clusters
 * @param featureNames what the image itself calls features: by {@code type << 8 | bit}
 */
public record Qcow2Header(
        int version,
        int clusterBits,
        long sizeBytes,
        @Nullable String backingFile,
        @Nullable String backingFormat,
        boolean isEncrypted,
        long l1Offset,
        int l1Entries,
        long refcountTableOffset,
        int refcountTableClusters,
        int refcountOrder,
        int snapshots,
        long incompatibleFeatures,
        long compatibleFeatures,
        long autoclearFeatures,
        Compression compression,
        Map<Integer, String> featureNames) {
    /** The first four bytes: "QFI" and 0xfb. */
    public static final int MAGIC = 0x514649fb;

    /** Incompatible feature: the refcounts may be wrong. */
    public static final long DIRTY = 1;
    /** Incompatible feature: somebody has found that the tables are wrong. */
    public static final long CORRUPT = 2;
    /** Incompatible feature: the data lie in another file. */
    public static final long EXTERNAL_DATA = 4;
    /** Incompatible feature: the compression is not zlib. */
    public static final long COMPRESSION_TYPE = 8;
    /** Incompatible feature: L2 entries of 16 bytes. */
    public static final long EXTENDED_L2 = 16;
    /** Compatible feature: refcounts may be written late. */
    public static final long LAZY_REFCOUNTS = 1;

    static final int EXTENSION_BACKING_FORMAT = 0xe2792aca;
    static final int EXTENSION_FEATURE_NAMES = 0x6803f857;
    static final int FEATURE_NAME_BYTES = 48;
    static final int VERSION_2_BYTES = 72;
    static final int VERSION_3_BYTES = 104;
    static final int LONGEST_BACKING_FILE = 1023;

    private static final int SECTOR_BYTES = 512;
    private static final int AUTOCLEAR_OFFSET = 88;
    private static final int MOST_L1_BYTES = 32 << 20;
    private static final int MOST_REFCOUNT_TABLE_BYTES = 8 << 20;
    private static final int LEAST_CLUSTER_BITS = 9;
    private static final int MOST_CLUSTER_BITS = 21;
    private static final int MOST_REFCOUNT_ORDER = 6;
    private static final int CRYPT_LUKS = 2;

    /** Copies the names. */
    public Qcow2Header {
        featureNames = Map.copyOf(featureNames);
    }

    /** Returns whether a file of which this is the beginning says that it is qcow2. */
    public static boolean isQcow2(ByteBuffer beginning) {
        return beginning.remaining() >= Integer.BYTES && beginning.getInt(beginning.position()) == MAGIC;
    }

    /**
     * Reads a header. May wait. Whatever the file holds: no number is believed that can not be right.
     *
     * @throws StageException if it is none, in words for the user
     */
    public static Qcow2Header read(ImageSource storage) throws StageException {
        ByteBuffer start = ByteBuffer.allocateDirect(VERSION_3_BYTES + 8);
        readAt(storage, start, 0);
        if (storage.sizeBytes() < VERSION_2_BYTES || !isQcow2(start)) {
            String other = OtherFormat.of(start);
            throw new StageException(storage.name() + " is not a qcow2 image; "
                    + (other == null
                            ? "a raw one is served by image:" + storage.name()
                            : "it looks like " + other + ": qemu-img convert -O qcow2 " + storage.name()
                                    + " makes one of it"));
        }
        return new HeaderReader(storage, start).read();
    }

    static void readAt(ImageSource storage, ByteBuffer into, long offsetBytes) throws StageException {
        if (storage.read(into, offsetBytes) != BlockStatus.OK) {
            throw new StageException(storage.name() + ": its header can not be read");
        }
        into.clear();
    }

    /** Reads one header. */
    private static final class HeaderReader {
        private final ImageSource storage;
        private final ByteBuffer start;
        private @Nullable String backingFormat;
        private final Map<Integer, String> names = new TreeMap<>();

        HeaderReader(ImageSource storage, ByteBuffer start) {
            this.storage = storage;
            this.start = start;
        }

        Qcow2Header read() throws StageException {
            int version = start.getInt(4);
            require(
                    version == 2 || version == 3,
                    "is a qcow2 image of version " + version
                            + "; 2 and 3 are known, and qemu-img convert -O qcow2 makes one of it");
            int clusterBits = start.getInt(20);
            requireRange("cluster_bits", clusterBits, LEAST_CLUSTER_BITS, MOST_CLUSTER_BITS);
            int clusterBytes = 1 << clusterBits;
            long sizeBytes = start.getLong(24);
            requireRange("size", sizeBytes, 0, Long.MAX_VALUE - clusterBytes);
            int crypt = start.getInt(32);
            requireRange("crypt_method", crypt, 0, CRYPT_LUKS);
            int l1Entries = start.getInt(36);
            requireRange("l1_size", l1Entries, 0, MOST_L1_BYTES / Long.BYTES);
            long l1Offset = start.getLong(40);
            if (l1Entries > 0) {
                requireAligned("l1_table_offset", l1Offset, clusterBytes);
                requireInFile("l1_table_offset", l1Offset, (long) l1Entries * Long.BYTES, clusterBytes);
            }
            long refcountOffset = start.getLong(48);
            requireAligned("refcount_table_offset", refcountOffset, clusterBytes);
            int refcountClusters = start.getInt(56);
            requireRange("refcount_table_clusters", refcountClusters, 1, MOST_REFCOUNT_TABLE_BYTES >> clusterBits);
            requireInFile(
                    "refcount_table_offset", refcountOffset, (long) refcountClusters << clusterBits, clusterBytes);
            int order = version == 2 ? 4 : start.getInt(96);
            requireRange("refcount_order", order, 0, MOST_REFCOUNT_ORDER);
            int headerBytes = version == 2 ? VERSION_2_BYTES : start.getInt(100);
            requireRange("header_length", headerBytes, version == 2 ? VERSION_2_BYTES : VERSION_3_BYTES, clusterBytes);
            long incompatible = version == 2 ? 0 : start.getLong(72);
            boolean hasType = headerBytes > VERSION_3_BYTES;
            int type = hasType ? start.get(VERSION_3_BYTES) & 0xff : 0;
            boolean isTypeTold = (incompatible & COMPRESSION_TYPE) != 0;
            require(
                    type <= 1 && isTypeTold == (type != 0),
                    "says in its header that its compression is of type " + type
                            + (isTypeTold ? "" : " without the flag for it") + "; 0 (zlib) and 1 (zstd) are known");
            String backingFile = backingFile(headerBytes, clusterBytes);
            return new Qcow2Header(
                    version,
                    clusterBits,
                    sizeBytes & -SECTOR_BYTES,
                    backingFile,
                    backingFormat,
                    crypt != 0,
                    l1Offset,
                    l1Entries,
                    refcountOffset,
                    refcountClusters,
                    order,
                    start.getInt(60),
                    incompatible,
                    version == 2 ? 0 : start.getLong(80),
                    version == 2 ? 0 : start.getLong(AUTOCLEAR_OFFSET),
                    type == 0 ? Compression.ZLIB : Compression.ZSTD,
                    names);
        }

        /** Reads the extensions on the way, which end where the name begins, or with the first cluster. */
        private @Nullable String backingFile(int headerBytes, int clusterBytes) throws StageException {
            long offset = start.getLong(8);
            int length = start.getInt(16);
            ByteBuffer first = ByteBuffer.allocateDirect(clusterBytes);
            readAt(storage, first, 0);
            if (offset == 0) {
                readExtensions(first.limit(clusterBytes).position(headerBytes));
                return null;
            }
            requireRange("backing_file_size", length, 0, LONGEST_BACKING_FILE);
            requireRange("backing_file_offset", offset, headerBytes, clusterBytes - length);
            byte[] name = new byte[length];
            first.get((int) offset, name);
            readExtensions(first.limit((int) offset).position(headerBytes));
            return length == 0 ? null : new String(name, StandardCharsets.UTF_8);
        }

        private void readExtensions(ByteBuffer extensions) throws StageException {
            while (extensions.remaining() >= 2 * Integer.BYTES) {
                int type = extensions.getInt();
                int length = extensions.getInt();
                if (type == 0) {
                    return;
                }
                requireRange("length of a header extension", length, 0, extensions.remaining());
                byte[] content = new byte[length];
                extensions.get(content);
                if (type == EXTENSION_BACKING_FORMAT) {
                    backingFormat = new String(content, StandardCharsets.UTF_8);
                } else if (type == EXTENSION_FEATURE_NAMES) {
                    readFeatureNames(content);
                }
                extensions.position(Math.min(extensions.limit(), extensions.position() + (-length & 7)));
            }
        }

        private void readFeatureNames(byte[] content) {
            for (int at = 0; at + FEATURE_NAME_BYTES <= content.length; at += FEATURE_NAME_BYTES) {
                String name = new String(content, at + 2, FEATURE_NAME_BYTES - 2, StandardCharsets.US_ASCII);
                names.put(
                        (content[at] & 0xff) << 8 | content[at + 1] & 0xff,
                        name.replaceAll("[^ -~]", "").trim());
            }
        }

        private void requireAligned(String field, long value, int clusterBytes) throws StageException {
            require(
                    value > 0 && (value & clusterBytes - 1) == 0,
                    "says in its header that its " + field + " is " + value + "; it is a multiple of " + clusterBytes);
        }

        /** A table behind the end of a file that was cut short would read as empty. */
        private void requireInFile(String field, long offset, long lengthBytes, int clusterBytes)
                throws StageException {
            long most = storage.sizeBytes() + clusterBytes - 1 & -clusterBytes;
            require(
                    lengthBytes <= most && offset <= most - lengthBytes,
                    "says in its header that its " + field + " is " + offset
                            + ", and that table ends behind the file's " + storage.sizeBytes()
                            + " bytes: it was cut short, or is damaged");
        }

        private void requireRange(String field, long value, long least, long most) throws StageException {
            require(
                    value >= least && value <= most,
                    "says in its header that its " + field + " is " + value + "; it is " + least + " to " + most);
        }

        private void require(boolean isRight, String otherwise) throws StageException {
            if (!isRight) {
                throw new StageException(storage.name() + " " + otherwise);
            }
        }
    }

    /**
     * Refuses what can not be served right.
     *
     * @param name of the image, for the message
     * @param forWriting whether it is to be written, too
     * @throws StageException why, and what to do
     */
    public void requireUsable(String name, boolean forWriting) throws StageException {
        if (isEncrypted) {
            throw new StageException(
                    name
                            + " is encrypted, which is not known here; qemu-img convert makes a plain copy, if it is given the secret (--object secret, --image-opts)");
        }
        if ((incompatibleFeatures & CORRUPT) != 0) {
            throw new StageException(
                    name + " is marked as corrupt; make a copy of it, then: qemu-img check -r all " + name);
        }
        if ((incompatibleFeatures & DIRTY) != 0) {
            throw new StageException(name
                    + " was not closed by who wrote it last (lazy refcounts), so its refcounts may be wrong; mend them: qemu-img check -r all "
                    + name);
        }
        if ((incompatibleFeatures & EXTERNAL_DATA) != 0) {
            throw new StageException(
                    name
                            + " keeps its data in another file, which is not known here; qemu-img convert makes a copy that does not");
        }
        if ((incompatibleFeatures & EXTENDED_L2) != 0) {
            throw new StageException(
                    name
                            + " has subclusters (extended_l2=on), which are not known here; qemu-img convert -o extended_l2=off makes a copy without");
        }
        long unknown = incompatibleFeatures & ~COMPRESSION_TYPE;
        if (unknown != 0) {
            int bit = Long.numberOfTrailingZeros(unknown);
            String its = featureNames.getOrDefault(bit, "");
            throw new StageException(
                    name + " needs feature bit " + bit + (its.isEmpty() ? "" : " (" + its + ")")
                            + ", which is not known here; a newer blocktap may know it, and qemu-img convert makes a copy without");
        }
        if (version == 2 && forWriting) {
            throw new StageException(name
                    + " is a qcow2 image of version 2, which is served read-only; to write it: qemu-img amend -o compat=v3 "
                    + name);
        }
    }

    /** Clears the bits that stand for data which others than their makers do not keep right. May wait. */
    void writeWithoutAutoclear(ImageStorage storage) throws ImageException {
        ByteBuffer none = ByteBuffer.allocateDirect(Long.BYTES);
        ImageException.check(storage.write(none, AUTOCLEAR_OFFSET));
        ImageException.check(storage.sync());
    }
}

package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.BlockStatus;
import io.blocktap.pipeline.StageException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * The table of a qcow2 image's internal snapshots.
 *
 * <p>Source: QEMU, {@code docs/interop/qcow2.txt}, "Snapshots".
 *
 * @param offsetBytes where it begins in the file
 * @param lengthBytes how long it is; 0 if there is none
 * @param snapshots what it has
 */
public record SnapshotTable(long offsetBytes, long lengthBytes, List<Snapshot> snapshots) {
    /** That of an image without snapshots. */
    public static final SnapshotTable NONE = new SnapshotTable(0, 0, List.of());

    /** QEMU's. */
    private static final int MOST_SNAPSHOTS = 65536;

    private static final int MOST_EXTRA_BYTES = 1024;
    /** QEMU's is 64 MiB; with the longest names that it gives, this is for 37000 snapshots. */
    private static final long MOST_BYTES = 16 << 20;

    private static final int OFFSET_IN_HEADER = 64;
    private static final int ENTRY_BYTES = 40;
    private static final int LONGEST_TEXT = 0xffff;
    private static final int ICOUNT_IN_EXTRA = 16;

    /** Copies the list. */
    public SnapshotTable {
        snapshots = List.copyOf(snapshots);
    }

    /**
     * Reads it. The caller's thread. Whatever the file holds: what is kept of it has a bound.
     *
     * @throws StageException if it can not be right
     */
    public static SnapshotTable read(ImageSource image, Qcow2Header header) throws StageException {
        return header.snapshots() == 0 ? NONE : new Reader(image).read(header);
    }

    /** Reads one table. */
    private static final class Reader {
        private final ImageSource image;
        private final ByteBuffer buffer = ByteBuffer.allocateDirect(MOST_EXTRA_BYTES + 2 * LONGEST_TEXT);

        Reader(ImageSource image) {
            this.image = image;
        }

        SnapshotTable read(Qcow2Header header) throws StageException {
            long count = Integer.toUnsignedLong(header.snapshots());
            require(
                    count <= MOST_SNAPSHOTS,
                    "has " + count + " snapshots; at most " + MOST_SNAPSHOTS + " are possible");
            long start = bytes(OFFSET_IN_HEADER, Long.BYTES).getLong();
            require(
                    start > 0 && start % (1L << header.clusterBits()) == 0,
                    "says in its header that its snapshots_offset is " + start + "; it is a multiple of "
                            + (1L << header.clusterBits()));
            List<Snapshot> snapshots = new ArrayList<>();
            long at = start;
            for (long i = 0; i < count; i++) {
                require(
                        at <= image.sizeBytes() - ENTRY_BYTES && at - start <= MOST_BYTES,
                        "has a table of " + count + " snapshots that ends after " + i + " of them, or has more than "
                                + MOST_BYTES + " bytes");
                at += readOne(at, snapshots);
            }
            return new SnapshotTable(start, at - start, snapshots);
        }

        /** Returns how many bytes it has, with those up to the next one. */
        private int readOne(long at, List<Snapshot> snapshots) throws StageException {
            ByteBuffer entry = bytes(at, ENTRY_BYTES);
            long l1Offset = entry.getLong(0);
            int l1Entries = entry.getInt(8);
            int idBytes = entry.getShort(12) & LONGEST_TEXT;
            int nameBytes = entry.getShort(14) & LONGEST_TEXT;
            long dateSeconds = Integer.toUnsignedLong(entry.getInt(16));
            long dateNanos = Integer.toUnsignedLong(entry.getInt(20));
            long clockNanos = entry.getLong(24);
            long stateBytes = Integer.toUnsignedLong(entry.getInt(32));
            long extraBytes = Integer.toUnsignedLong(entry.getInt(36));
            require(
                    extraBytes <= MOST_EXTRA_BYTES,
                    "has a snapshot with " + extraBytes + " bytes of extra data; at most " + MOST_EXTRA_BYTES
                            + " are possible");
            int rest = (int) extraBytes + idBytes + nameBytes;
            ByteBuffer texts = bytes(at + ENTRY_BYTES, rest);
            if (extraBytes >= Long.BYTES) {
                stateBytes = texts.getLong(0);
            }
            long icount =
                    extraBytes >= ICOUNT_IN_EXTRA + Long.BYTES ? texts.getLong(ICOUNT_IN_EXTRA) : Snapshot.NO_ICOUNT;
            texts.position((int) extraBytes);
            String id = text(texts, idBytes);
            String name = text(texts, nameBytes);
            snapshots.add(new Snapshot(
                    id, name, stateBytes, dateSeconds, dateNanos, clockNanos, icount, l1Offset, l1Entries));
            return ENTRY_BYTES + rest + (-rest & 7);
        }

        private static String text(ByteBuffer from, int length) {
            byte[] bytes = new byte[length];
            from.get(bytes);
            return new String(bytes, StandardCharsets.UTF_8);
        }

        private ByteBuffer bytes(long offset, int length) throws StageException {
            if (image.read(buffer.clear().limit(length), offset) != BlockStatus.OK) {
                throw new StageException(image.name() + ": its table of snapshots can not be read");
            }
            return buffer.clear().limit(length);
        }

        private void require(boolean isRight, String otherwise) throws StageException {
            if (!isRight) {
                throw new StageException(image.name() + " " + otherwise
                        + ": it is damaged; make a copy of it, then: qemu-img check -r all " + image.name());
            }
        }
    }
}

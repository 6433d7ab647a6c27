package io.blocktap.launcher.image;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.qcow2.BackingFormat;
import io.blocktap.pipeline.qcow2.BackingName;
import io.blocktap.pipeline.qcow2.HeaderFile;
import io.blocktap.pipeline.qcow2.Qcow2Header;
import io.blocktap.pipeline.qcow2.Snapshot;
import io.blocktap.pipeline.qcow2.SnapshotTable;
import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What an image file is. Nothing is locked, so it can be asked while the file is served.
 *
 * @param name as it was given, or follows from what is based on it
 * @param header null if it is raw
 * @param virtualBytes the size of the disk; of a qcow2 image without what is no whole sector at its end, as QEMU has it
 * @param allocatedBytes what it takes on its file system
 * @param snapshots those inside it
 */
public record ImageInfo(
        String name, @Nullable Qcow2Header header, long virtualBytes, long allocatedBytes, List<Snapshot> snapshots) {
    private static final int DEEPEST = 200;
    private static final int SECTOR_BYTES = 512;

    /** Copies the list. */
    public ImageInfo {
        snapshots = List.copyOf(snapshots);
    }

    /** Whether a file is qcow2. */
    private interface Format {
        boolean isQcow2(HeaderFile open) throws StageException;
    }

    /**
     * Looks at a file. It is what its first bytes tell.
     *
     * @param seen takes note of it, for {@link #below}
     * @throws StageException if it can not be read, or is damaged
     */
    public static ImageInfo of(String name, Set<Path> seen) throws StageException {
        try {
            return of(name, Path.of(name), seen, HeaderFile::isQcow2);
        } catch (InvalidPathException e) {
            throw new StageException(name + " can not be the name of a file: " + e.getReason(), e);
        }
    }

    /**
     * Looks at the file that it is based on. That is what this one says, and never what its first bytes tell.
     *
     * @param seen those before; this one is added
     * @return null if there is none
     * @throws StageException also if it is one of those before, or they are too many
     */
    public @Nullable ImageInfo below(Set<Path> seen) throws StageException {
        if (header == null || header.backingFile() == null) {
            return null;
        }
        Path file = Path.of(name);
        Path backing = BackingName.resolve(file, header.backingFile());
        String backingName = BackingName.path(name, header.backingFile());
        try {
            return of(backingName, backing, seen, open -> BackingFormat.isQcow2(file, header, backing, open.isQcow2()));
        } catch (StageException e) {
            throw BackingName.in(file, e);
        }
    }

    /**
     * Looks at a file and all that it is based on, from the top down.
     *
     * @throws StageException also if the chain does not end
     */
    public static List<ImageInfo> chainOf(String name) throws StageException {
        List<ImageInfo> chain = new ArrayList<>();
        Set<Path> seen = new HashSet<>();
        for (ImageInfo next = of(name, seen); next != null; next = next.below(seen)) {
            chain.add(next);
        }
        return chain;
    }

    private static ImageInfo of(String name, Path file, Set<Path> seen, Format format) throws StageException {
        if (!seen.add(real(file))) {
            throw new StageException(file + " is based on itself; qemu-img rebase -u gives it another backing file");
        }
        if (seen.size() > DEEPEST) {
            throw new StageException(file + " is the end of a chain of more than " + DEEPEST + " images");
        }
        try (HeaderFile open = HeaderFile.open(file)) {
            long allocated = open.allocatedBytes();
            if (!format.isQcow2(open)) {
                return new ImageInfo(name, null, open.sizeBytes(), allocated, List.of());
            }
            Qcow2Header header = Qcow2Header.read(open);
            return new ImageInfo(
                    name,
                    header,
                    header.sizeBytes(),
                    allocated,
                    SnapshotTable.read(open, header).snapshots());
        } catch (NoSuchFileException e) {
            throw new StageException(file + " does not exist", e);
        } catch (IOException e) {
            throw new StageException(file + " can not be read: " + e.getMessage(), e);
        }
    }

    private static Path real(Path file) throws StageException {
        try {
            return file.toRealPath();
        } catch (IOException e) {
            throw new StageException(file + " does not exist, or may not be reached", e);
        }
    }

    /** Returns the format as QEMU names it. */
    public String format() {
        return header == null ? "raw" : "qcow2";
    }

    /** Returns why blocktap can not serve it for reading and writing; null if it can. */
    public @Nullable String refusal() {
        if (header == null) {
            return null;
        }
        try {
            header.requireUsable(name, true);
            return null;
        } catch (StageException e) {
            return e.getMessage();
        }
    }

    /** Returns all of it under the names that {@code qemu-img info --output=json} uses. */
    public Map<String, Object> fields() {
        Map<String, Object> fields = new LinkedHashMap<>();
        if (!snapshots.isEmpty()) {
            fields.put("snapshots", snapshots.stream().map(Snapshot::fields).toList());
        }
        // To QEMU a raw file's last sector is whole.
        fields.put("virtual-size", virtualBytes + (-virtualBytes & SECTOR_BYTES - 1));
        fields.put("filename", name);
        if (header != null) {
            fields.put("cluster-size", 1L << header.clusterBits());
        }
        fields.put("format", format());
        fields.put("actual-size", allocatedBytes);
        if (header != null) {
            String backing = header.backingFile();
            if (backing != null) {
                fields.put("full-backing-filename", BackingName.full(name, backing));
                fields.put("backing-filename", backing);
                if (header.backingFormat() != null) {
                    fields.put("backing-filename-format", header.backingFormat());
                }
            }
            fields.put("format-specific", formatSpecific(header));
            if (header.isEncrypted()) {
                fields.put("encrypted", true);
            }
        }
        fields.put("dirty-flag", header != null && (header.incompatibleFeatures() & Qcow2Header.DIRTY) != 0);
        return fields;
    }

    private static Map<String, Object> formatSpecific(Qcow2Header header) {
        Map<String, Object> data = new LinkedHashMap<>();
        if (header.version() == 2) {
            data.put("compat", "0.10");
            data.put("compression-type", "zlib");
            data.put("refcount-bits", 16L);
        } else {
            data.put("compat", "1.1");
            data.put("compression-type", header.compression().name().toLowerCase(Locale.ROOT));
            data.put("lazy-refcounts", (header.compatibleFeatures() & Qcow2Header.LAZY_REFCOUNTS) != 0);
            data.put("refcount-bits", 1L << header.refcountOrder());
            data.put("corrupt", (header.incompatibleFeatures() & Qcow2Header.CORRUPT) != 0);
            data.put("extended-l2", (header.incompatibleFeatures() & Qcow2Header.EXTENDED_L2) != 0);
        }
        Map<String, Object> specific = new LinkedHashMap<>();
        specific.put("type", "qcow2");
        specific.put("data", data);
        return specific;
    }
}

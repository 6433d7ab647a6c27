package io.blocktap.launcher.image;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.qcow2.BackingName;
import io.blocktap.pipeline.qcow2.HeaderFile;
import io.blocktap.pipeline.qcow2.Qcow2Header;
import java.io.IOException;
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
 * What an image file is, as its first bytes tell. Nothing is locked, so it can be asked while the file is served.
 *
 * @param file as it was named
 * @param header null if it is raw
 * @param virtualBytes the size of the disk
 * @param allocatedBytes what it takes on its file system
 */
public record ImageInfo(Path file, @Nullable Qcow2Header header, long virtualBytes, long allocatedBytes) {
    private static final int DEEPEST = 200;

    /**
     * Looks at a file.
     *
     * @throws StageException if it can not be read, or is damaged
     */
    public static ImageInfo of(Path file) throws StageException {
        try (HeaderFile open = HeaderFile.open(file)) {
            long allocated = open.allocatedBytes();
            if (!open.isQcow2()) {
                return new ImageInfo(file, null, open.sizeBytes(), allocated);
            }
            Qcow2Header header = Qcow2Header.read(open);
            return new ImageInfo(file, header, header.sizeBytes(), allocated);
        } catch (NoSuchFileException e) {
            throw new StageException(file + " does not exist", e);
        } catch (IOException e) {
            throw new StageException(file + " can not be read: " + e.getMessage(), e);
        }
    }

    /**
     * Looks at a file and all that it is based on, from the top down.
     *
     * @throws StageException also if the chain does not end
     */
    public static List<ImageInfo> chainOf(Path file) throws StageException {
        List<ImageInfo> chain = new ArrayList<>();
        Set<Path> seen = new HashSet<>();
        Path next = file;
        while (next != null) {
            ImageInfo info = of(next, seen);
            chain.add(info);
            next = info.backing();
        }
        return chain;
    }

    /**
     * Looks at the next file of a chain.
     *
     * @param seen those before; this one is added
     * @throws StageException also if it is one of those before, or they are too many
     */
    public static ImageInfo of(Path file, Set<Path> seen) throws StageException {
        if (!seen.add(real(file))) {
            throw new StageException(file + " is based on itself; qemu-img rebase -u gives it another backing file");
        }
        if (seen.size() > DEEPEST) {
            throw new StageException(file + " is the end of a chain of more than " + DEEPEST + " images");
        }
        return of(file);
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

    /** Returns the file that it is based on; null if there is none. */
    public @Nullable Path backing() throws StageException {
        return header == null || header.backingFile() == null ? null : BackingName.resolve(file, header.backingFile());
    }

    /** Returns why blocktap can not serve it for reading and writing; null if it can. */
    public @Nullable String refusal() {
        if (header == null) {
            return null;
        }
        try {
            header.requireUsable(file.toString(), true);
            return null;
        } catch (StageException e) {
            return e.getMessage();
        }
    }

    /** Returns all of it under the names that {@code qemu-img info --output=json} uses. */
    public Map<String, Object> fields() throws StageException {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("virtual-size", virtualBytes);
        fields.put("filename", file.toString());
        if (header != null) {
            fields.put("cluster-size", 1L << header.clusterBits());
        }
        fields.put("format", format());
        fields.put("actual-size", allocatedBytes);
        if (header != null) {
            Path backing = backing();
            if (backing != null) {
                fields.put("full-backing-filename", fullName(backing));
                fields.put("backing-filename", String.valueOf(header.backingFile()));
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

    private String fullName(Path backing) {
        return file.isAbsolute()
                ? backing.toString()
                : Path.of("").toAbsolutePath().relativize(backing).toString();
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

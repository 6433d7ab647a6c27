package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.StageException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;

/** The name of an image's backing file as it stands in the image. */
public final class BackingName {
    private static final String FILE_PREFIX = "file:";

    private BackingName() {}

    /**
     * Returns the file that is meant.
     *
     * @param image the file in which the name stands: relative names begin in its directory
     * @throws StageException if it names something else than a file
     */
    public static Path resolve(Path image, String name) throws StageException {
        String plain = name.startsWith(FILE_PREFIX) ? name.substring(FILE_PREFIX.length()) : name;
        int colon = plain.indexOf(':');
        int slash = plain.indexOf('/');
        if (colon >= 0 && (slash < 0 || colon < slash)) {
            throw new StageException(image + " has the backing file " + name
                    + ", which is not a file; only files are opened; put blocktap in front of it: cow:" + image
                    + " and a terminator for it");
        }
        try {
            return image.toAbsolutePath().resolveSibling(plain);
        } catch (InvalidPathException e) {
            throw new StageException(image + " has a backing file whose name can not be one: " + e.getReason(), e);
        }
    }

    /** Returns how a file is to be named in an image: from the image's directory if it lies there or below, so that both can be moved. */
    public static String of(Path image, Path backing) {
        Path directory = image.toAbsolutePath().normalize().getParent();
        Path whole = backing.toAbsolutePath().normalize();
        if (directory == null || !whole.startsWith(directory)) {
            return whole.toString();
        }
        String relative = directory.relativize(whole).toString();
        int colon = relative.indexOf(':');
        return colon < 0 ? relative : "./" + relative; // or it would be taken for a protocol
    }
}

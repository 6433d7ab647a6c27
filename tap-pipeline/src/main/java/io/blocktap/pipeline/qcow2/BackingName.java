package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.StageException;
import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Objects;

/**
 * The name of an image's backing file as it stands in the image, understood as QEMU does.
 *
 * <p>Source: QEMU, {@code block.c}, {@code path_has_protocol} and {@code path_combine}.
 */
public final class BackingName {
    private static final String FILE_PREFIX = "file:";

    private BackingName() {}

    /** Returns whether a name means a file: not one of QEMU's other protocols, as in {@code nbd://host/} or {@code json:{...}}. */
    public static boolean isFile(String name) {
        return name.startsWith(FILE_PREFIX) || !hasProtocol(name);
    }

    private static boolean hasProtocol(String name) {
        int colon = name.indexOf(':');
        int slash = name.indexOf('/');
        return colon >= 0 && (slash < 0 || colon < slash);
    }

    /**
     * Returns the name as it is seen from where the image's own name is: what {@code qemu-img info} calls the full one.
     *
     * @param image the image's name; relative names begin in its directory, but not those with a protocol
     */
    public static String full(String image, String name) {
        return hasProtocol(name) || name.startsWith("/") ? name : image.substring(0, image.lastIndexOf('/') + 1) + name;
    }

    /** Returns the path that a file's name stands for: the full name, without a protocol. */
    public static String path(String image, String name) {
        return name.startsWith(FILE_PREFIX) ? name.substring(FILE_PREFIX.length()) : full(image, name);
    }

    /**
     * Returns the file that is meant.
     *
     * @param image the file in which the name stands: relative names begin in its directory, those behind {@code file:} in the current one
     * @throws StageException if it names something else than a file
     */
    public static Path resolve(Path image, String name) throws StageException {
        if (!isFile(name)) {
            throw new StageException(image + " has the backing file " + name
                    + ", which is not a file; only files are opened; put blocktap in front of it: cow:" + image
                    + " and a terminator for it");
        }
        try {
            return Path.of(path(image.toString(), name)).toAbsolutePath();
        } catch (InvalidPathException e) {
            throw new StageException(image + " has a backing file whose name can not be one: " + e.getReason(), e);
        }
    }

    /** Says of what is wrong with a backing file whose it is. */
    public static StageException in(Path image, StageException failure) {
        return new StageException(failure.getMessage() + " (it is the backing file of " + image + ")", failure);
    }

    /** Returns how a file is to be named in an image: from the image's directory if it lies there or below, so that both can be moved. */
    public static String of(Path image, Path backing) {
        Path directory = plain(Objects.requireNonNullElse(image.getParent(), Path.of("")));
        Path whole = plain(backing);
        if (!whole.startsWith(directory)) {
            return whole.toString();
        }
        String relative = directory.relativize(whole).toString();
        int colon = relative.indexOf(':');
        return colon < 0 ? relative : "./" + relative; // or it would be taken for a protocol
    }

    /** Links stay, as they may be meant to be moved, but for those before a {@code ..}: what that leaves is not what stands before it. */
    private static Path plain(Path path) {
        for (Path element : path) {
            if (element.toString().equals("..")) {
                try {
                    return path.toRealPath();
                } catch (IOException e) {
                    return path.toAbsolutePath(); // whoever opens it finds out
                }
            }
        }
        return path.toAbsolutePath().normalize();
    }
}

package io.blocktap.pipeline.qcow2;

import io.blocktap.pipeline.StageException;
import java.nio.file.Path;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * How an image's backing file is read: as the image says. Its first bytes are not asked, since a guest that writes a raw disk can put the header of an image there, which names a file of the guest's choice as its own backing file.
 */
public final class BackingFormat {
    private static final String RAW = "raw";
    private static final String QCOW2 = "qcow2";
    private static final Pattern PLAIN_WORD = Pattern.compile("[A-Za-z0-9_@%+=:,./-]+");

    private BackingFormat() {}

    /**
     * Returns whether a backing file is to be read as qcow2; otherwise it is raw.
     *
     * @param image that is based on it
     * @param header of that image, which names it
     * @param backing the file
     * @param beginsAsQcow2 whether it has what qcow2 begins with; never a reason to take it for qcow2
     * @throws StageException if the image says nothing, and it might be qcow2; or if it is not what the image says
     */
    public static boolean isQcow2(Path image, Qcow2Header header, Path backing, boolean beginsAsQcow2)
            throws StageException {
        String format = header.backingFormat();
        if (format == null) {
            if (beginsAsQcow2) {
                throw new StageException(
                        backing + " looks like qcow2, and what is based on it does not say whether it is; if so: "
                                + record(image, header, QCOW2) + "; if it is the disk of a guest: -F raw");
            }
            return false;
        }
        if (!isKnown(format)) {
            throw new StageException(
                    backing + " is of format " + format + "; raw and qcow2 are known, and qemu-img convert makes one");
        }
        if (format.equals(QCOW2) && !beginsAsQcow2) {
            throw new StageException(
                    backing + " is not a qcow2 image, and what is based on it says that it is; if it is raw: "
                            + record(image, header, RAW));
        }
        return format.equals(QCOW2);
    }

    /**
     * Returns whether a backing file that is to be written is qcow2; otherwise it is raw.
     *
     * @throws StageException if the image does not say
     */
    public static boolean isQcow2(Path image, Qcow2Header header, Path backing) throws StageException {
        String format = header.backingFormat();
        if (format == null || !isKnown(format)) {
            throw new StageException(image + " does not say that its backing file " + backing
                    + " is raw or qcow2, which it must be: " + record(image, header, "FORMAT"));
        }
        return format.equals(QCOW2);
    }

    private static boolean isKnown(String format) {
        return format.equals(RAW) || format.equals(QCOW2);
    }

    /** Returns the command that writes a format into an image. */
    private static String record(Path image, Qcow2Header header, String format) {
        return "qemu-img rebase -u -b " + word(header.backingFile()) + " -F " + format + " " + word(image.toString());
    }

    /** Returns a text as a shell takes it for one word: it may come from somebody else's image. */
    private static String word(@Nullable String text) {
        String plain = String.valueOf(text);
        return PLAIN_WORD.matcher(plain).matches() ? plain : "'" + plain.replace("'", "'\\''") + "'";
    }
}

package io.blocktap.launcher.server;

import io.blocktap.pipeline.Stage;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/**
 * A disk as somebody asked for it: a name and a chain, not checked yet.
 *
 * @param name what clients ask for; empty for the default disk
 * @param where it was asked for, for messages; empty if that is plain
 * @param parts the chain, from the tap down; the last part is the terminator
 */
public record DiskSpec(String name, String where, List<Part> parts) {
    /** One stage of the chain. */
    public sealed interface Part {}

    /**
     * A stage by its word.
     *
     * @param text {@code name[:value][,key=value...]}
     * @param where it stands, for messages: {@code disks.yaml:7:12}; empty if that is plain
     */
    public record Word(String text, String where) implements Part {}

    /**
     * A stage that a program makes.
     *
     * @param kindName its name in the chain
     * @param maker makes a new stage, not opened; called once for each opening of the disk
     */
    public record Made(String kindName, Supplier<? extends Stage> maker) implements Part {}

    /** Copies the list. */
    public DiskSpec {
        parts = List.copyOf(parts);
    }

    /** Returns a disk whose stages are words that stand nowhere in particular. */
    public static DiskSpec ofWords(String name, String where, List<String> words) {
        return new DiskSpec(
                name,
                where,
                words.stream().map(word -> (Part) new Word(word, "")).toList());
    }

    /**
     * Splits a chain that is written in one string, at white space; a backslash takes away the meaning of a following space.
     *
     * @return the words; empty if there are none
     */
    public static List<String> split(String chain) {
        List<String> words = new ArrayList<>();
        splitAt(chain).forEach(piece -> words.add(piece.text()));
        return words;
    }

    /**
     * A word of a chain in one string.
     *
     * @param text the word, without the backslashes before spaces
     * @param offset where it starts in the string, in characters
     */
    public record Piece(String text, int offset) {}

    /** Splits like {@link #split}, and says where the words start. */
    public static List<Piece> splitAt(String chain) {
        List<Piece> pieces = new ArrayList<>();
        StringBuilder word = new StringBuilder();
        int start = -1;
        for (int i = 0; i < chain.length(); i++) {
            char c = chain.charAt(i);
            if (Character.isWhitespace(c)) {
                if (start >= 0) {
                    pieces.add(new Piece(word.toString(), start));
                    word.setLength(0);
                    start = -1;
                }
                continue;
            }
            if (start < 0) {
                start = i;
            }
            if (c == '\\' && i + 1 < chain.length() && chain.charAt(i + 1) == ' ') {
                word.append(' ');
                i++;
            } else {
                word.append(c);
            }
        }
        if (start >= 0) {
            pieces.add(new Piece(word.toString(), start));
        }
        return pieces;
    }
}

package io.blocktap.pipeline.config;

import java.util.ArrayList;
import java.util.List;

/** Splits the words of a chain. Which stages there are, is looked up later. */
public final class ChainParser {
    private ChainParser() {}

    /**
     * Splits the words of a command line.
     *
     * @param words stages from the tap down, one a word
     */
    public static List<StageText> words(List<String> words) throws ConfigException {
        List<StageText> stages = new ArrayList<>();
        for (String word : words) {
            stages.add(StageText.parse(word));
        }
        return stages;
    }

    /**
     * Splits a chain that is written in one string: words separated by white space. A backslash takes away the meaning of a following space.
     *
     * @param chain for example {@code "dump image:disk.img"}
     */
    public static List<StageText> line(String chain) throws ConfigException {
        List<String> words = new ArrayList<>();
        StringBuilder word = new StringBuilder();
        for (int i = 0; i < chain.length(); i++) {
            char c = chain.charAt(i);
            if (c == '\\' && i + 1 < chain.length()) {
                char next = chain.charAt(++i);
                word.append(next == ' ' ? "" : c).append(next);
            } else if (!Character.isWhitespace(c)) {
                word.append(c);
            } else if (word.length() > 0) {
                words.add(word.toString());
                word.setLength(0);
            }
        }
        if (word.length() > 0) {
            words.add(word.toString());
        }
        if (words.isEmpty()) {
            throw new ConfigException("an empty chain; it needs at least a terminator, for example 'image:disk.img'");
        }
        return words(words);
    }
}

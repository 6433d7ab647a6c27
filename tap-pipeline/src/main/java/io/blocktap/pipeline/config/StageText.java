package io.blocktap.pipeline.config;

import java.util.ArrayList;
import java.util.List;

/**
 * One word of a chain, split: {@code name[:value][,key=value...]}. Nothing is known of the name or the keys yet.
 *
 * <p>A backslash before a comma, an equals sign or a backslash takes away its meaning.
 *
 * @param name the stage's or tap's name
 * @param settings in the order of the text
 * @param text the whole word, for messages
 */
public record StageText(String name, List<Setting> settings, String text) {

    /**
     * One piece between commas.
     *
     * @param key empty if there was no equals sign
     * @param value the text after it, or the whole piece
     */
    public record Setting(String key, String value) {}

    /** Copies the list. */
    public StageText {
        settings = List.copyOf(settings);
    }

    /**
     * Splits a word.
     *
     * @throws ConfigException if there is no name, or an empty piece
     */
    public static StageText parse(String text) throws ConfigException {
        int end = 0;
        while (end < text.length() && text.charAt(end) != ':' && text.charAt(end) != ',') {
            end++;
        }
        String name = text.substring(0, end);
        if (!name.matches("[a-z][a-z0-9-]*")) {
            throw new ConfigException("'" + text + "': a stage is written name[:value][,key=value...], and '" + name
                    + "' is no name (lower case letters, digits, dashes)");
        }
        List<Setting> settings = new ArrayList<>();
        if (end < text.length()) {
            for (String piece : split(text.substring(end + 1))) {
                settings.add(setting(piece, text));
            }
        }
        return new StageText(name, settings, text);
    }

    private static List<String> split(String rest) {
        List<String> pieces = new ArrayList<>();
        int start = 0;
        for (int i = 0; i < rest.length(); i++) {
            if (rest.charAt(i) == '\\') {
                i++;
            } else if (rest.charAt(i) == ',') {
                pieces.add(rest.substring(start, i));
                start = i + 1;
            }
        }
        pieces.add(rest.substring(start));
        return pieces;
    }

    private static Setting setting(String piece, String text) throws ConfigException {
        for (int i = 0; i < piece.length(); i++) {
            if (piece.charAt(i) == '\\') {
                i++;
            } else if (piece.charAt(i) == '=') {
                String key = piece.substring(0, i);
                if (key.matches("[a-z][a-z0-9-]*")) {
                    return new Setting(key, unescape(piece.substring(i + 1)));
                }
                break; // an equals sign inside a value, as in a path
            }
        }
        if (piece.isEmpty()) {
            throw new ConfigException("'" + text + "': nothing stands after a ':' or ','");
        }
        return new Setting("", unescape(piece));
    }

    private static String unescape(String text) {
        return text.replaceAll("\\\\([,=\\\\])", "$1");
    }

    /** Writes a value so that {@link #parse} reads it back: for chains that a program composes. */
    public static String escape(String value) {
        return value.replaceAll("([,=\\\\])", "\\\\$1");
    }

    @Override
    public String toString() {
        return text;
    }
}

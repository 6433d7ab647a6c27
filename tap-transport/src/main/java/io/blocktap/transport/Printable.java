package io.blocktap.transport;

/** Text from outside, made fit for one line of a log or of a terminal. */
public final class Printable {
    /** Longer text is cut. */
    private static final int MOST_CHARS = 100;

    private Printable() {}

    /**
     * Returns text without anything that could forge a line or steer a terminal: control characters, separators of lines and what has no glyph of its own are
     * written as {@code \\uXXXX}, and text of more than 100 characters is cut, with its length behind it.
     */
    public static String of(String text) {
        return text.length() <= MOST_CHARS
                ? whole(text)
                : whole(text.substring(0, MOST_CHARS)) + "... (" + text.length() + " characters)";
    }

    /** Returns text as {@link #of} does, but never cuts it. */
    public static String whole(String text) {
        StringBuilder shown = new StringBuilder(text.length());
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (isPlain(c)) {
                shown.append(c);
            } else {
                shown.append(String.format("\\u%04x", (int) c));
            }
        }
        return shown.toString();
    }

    private static boolean isPlain(char c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR,
                    Character.PRIVATE_USE,
                    Character.SURROGATE,
                    Character.UNASSIGNED -> false;
            default -> true;
        };
    }
}

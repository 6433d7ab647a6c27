package io.blocktap.pipeline.config;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The declaration of one option of a stage or tap.
 *
 * @param name lower case letters, digits and dashes
 * @param type what values it takes
 * @param defaultText the value, as text, if none is given; null if there is none
 * @param choices the words that a {@link OptionType#CHOICE} takes; empty for others
 * @param positional whether its value may stand first, without the key
 * @param required whether it must be given
 * @param doc one sentence: what it does, its unit
 */
public record OptionSpec(
        String name,
        OptionType type,
        @Nullable String defaultText,
        List<String> choices,
        boolean positional,
        boolean required,
        String doc) {

    /** Declares an option that may be left out. */
    public static OptionSpec optional(String name, OptionType type, String doc) {
        return new OptionSpec(name, type, null, List.of(), false, false, doc);
    }

    /** Declares an option that must be given. */
    public static OptionSpec required(String name, OptionType type, String doc) {
        return new OptionSpec(name, type, null, List.of(), false, true, doc);
    }

    /** Declares an option that is one of several words. */
    public static OptionSpec choice(String name, String defaultText, List<String> choices, String doc) {
        return new OptionSpec(name, OptionType.CHOICE, defaultText, choices, false, false, doc);
    }

    /** Returns the same option with a default. */
    public OptionSpec withDefault(String text) {
        return new OptionSpec(name, type, text, choices, positional, required, doc);
    }

    /** Returns the same option; its value may stand first, without the key. */
    public OptionSpec first() {
        return new OptionSpec(name, type, defaultText, choices, true, required, doc);
    }

    /** Returns what values look like, for help: {@code size}, {@code on|off}, {@code auto|uring|threads}. */
    public String shownType() {
        return type == OptionType.CHOICE ? String.join("|", choices) : type.shown();
    }
}

package io.blocktap.pipeline.config;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Which chains somebody who is not the operator may have opened. Written like a chain: words between spaces, each a stage with patterns for its options,
 * for example {@code dump image:/srv/vm/*}. A chain is allowed if each of its words is allowed by one of the patterns; the order does not matter.
 *
 * <p>A word is allowed by a pattern of the same stage if every option that the word gives is in the pattern and matches there, and every option in the pattern is
 * given, but for those that may be anything ({@code direct=*}). So an option that nobody thought of is refused. In a path, {@code *} stands for any part of one
 * name and {@code **} for anything, slashes included; elsewhere both stand for anything. A path must be absolute and have no {@code .} or {@code ..} in it, so it
 * can not climb out of a pattern; symbolic links are followed, as the operator has made them.
 *
 * <p>Immutable; any thread.
 */
public final class ChainPolicy {
    /** Allows nothing. */
    public static final ChainPolicy NOTHING = new ChainPolicy(List.of(), "");

    private final List<StageText> patterns;
    private final String text;

    private ChainPolicy(List<StageText> patterns, String text) {
        this.patterns = List.copyOf(patterns);
        this.text = text;
    }

    /**
     * Reads a policy.
     *
     * @param text words between spaces; a backslash before a space keeps it
     * @throws ConfigException if a word is none, or there is none
     */
    public static ChainPolicy parse(String text) throws ConfigException {
        return new ChainPolicy(ChainParser.line(text), text);
    }

    /** Returns whether nothing is allowed, whatever the chain. */
    public boolean isEmpty() {
        return patterns.isEmpty();
    }

    /** Returns the stages that patterns name. */
    public List<String> stageNames() {
        return patterns.stream().map(StageText::name).distinct().toList();
    }

    /**
     * Returns whether a word may stand in a chain.
     *
     * @param word of the chain
     * @param declared the options of its stage
     * @throws ConfigException if the word gives an option that the stage does not have
     */
    public boolean allows(StageText word, List<OptionSpec> declared) throws ConfigException {
        Map<String, String> given = OptionValues.written(word, declared);
        for (StageText pattern : patterns) {
            if (pattern.name().equals(word.name())
                    && matches(OptionValues.written(pattern, declared), given, declared)) {
                return true;
            }
        }
        return false;
    }

    private static boolean matches(Map<String, String> pattern, Map<String, String> given, List<OptionSpec> declared) {
        for (OptionSpec option : declared) {
            String wanted = pattern.get(option.name());
            String value = given.get(option.name());
            if (value == null && wanted != null && !wanted.equals("*") && !wanted.equals("**")) {
                return false;
            }
            if (value != null && (wanted == null || !matches(option, wanted, value))) {
                return false;
            }
        }
        return true;
    }

    private static boolean matches(OptionSpec option, String pattern, String value) {
        if (option.type() != OptionType.PATH) {
            return glob(pattern, ".*").matcher(value).matches();
        }
        try {
            Path path = Path.of(value);
            return path.isAbsolute()
                    && path.equals(path.normalize())
                    && glob(pattern, "[^/]*").matcher(path.toString()).matches();
        } catch (InvalidPathException e) {
            return false;
        }
    }

    /** Compiles a pattern in which only stars have a meaning. Few stars, written by the operator: the time to match is bounded by a small power of the length. */
    private static Pattern glob(String pattern, String star) {
        StringBuilder regex = new StringBuilder();
        int from = 0;
        for (int at = pattern.indexOf('*'); at >= 0; at = pattern.indexOf('*', from)) {
            boolean isDouble = pattern.startsWith("**", at);
            regex.append(Pattern.quote(pattern.substring(from, at))).append(isDouble ? ".*" : star);
            from = at + (isDouble ? 2 : 1);
        }
        return Pattern.compile(
                regex.append(Pattern.quote(pattern.substring(from))).toString(), Pattern.DOTALL);
    }

    /** Returns the policy as it was written. */
    @Override
    public String toString() {
        return text;
    }
}

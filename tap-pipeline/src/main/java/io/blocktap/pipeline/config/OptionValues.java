package io.blocktap.pipeline.config;

import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The checked values of the options of one stage or tap. Parsing is strict: an unknown key, a key given twice, a value of the wrong type or a
 * missing required option ends in a {@link ConfigException} that says what would be right.
 */
public final class OptionValues {
    private final String owner;
    private final Map<String, OptionSpec> specs;
    private final Map<String, Object> values;

    private OptionValues(String owner, Map<String, OptionSpec> specs, Map<String, Object> values) {
        this.owner = owner;
        this.specs = specs;
        this.values = values;
    }

    /**
     * Checks the settings of a word of a chain against the declared options.
     *
     * @param word the split word
     * @param declared the options that its stage takes
     */
    public static OptionValues parse(StageText word, List<OptionSpec> declared) throws ConfigException {
        Map<String, OptionSpec> specs = new LinkedHashMap<>();
        declared.forEach(spec -> specs.put(spec.name(), spec));
        Map<String, Object> values = new LinkedHashMap<>();
        for (Map.Entry<String, String> given : written(word, declared).entrySet()) {
            OptionSpec spec = java.util.Objects.requireNonNull(specs.get(given.getKey()));
            values.put(spec.name(), OptionParser.parse(word, spec, given.getValue()));
        }
        for (OptionSpec spec : declared) {
            if (!values.containsKey(spec.name())) {
                String defaultText = spec.defaultText();
                if (spec.required()) {
                    throw new ConfigException("'" + word + "': " + word.name() + " needs " + spec.name() + ": "
                            + spec.doc() + " (for example " + example(word.name(), spec) + ")");
                } else if (defaultText != null) {
                    values.put(spec.name(), OptionParser.parse(word, spec, defaultText));
                }
            }
        }
        return new OptionValues(word.name(), specs, values);
    }

    /**
     * Returns the options that a word gives, by name, as they are written: positions are resolved, values are not read and nothing is filled in.
     *
     * @throws ConfigException if there is no such option, or one is given twice
     */
    static Map<String, String> written(StageText word, List<OptionSpec> declared) throws ConfigException {
        Map<String, OptionSpec> specs = new LinkedHashMap<>();
        declared.forEach(spec -> specs.put(spec.name(), spec));
        Map<String, String> texts = new LinkedHashMap<>();
        for (int i = 0; i < word.settings().size(); i++) {
            StageText.Setting setting = word.settings().get(i);
            OptionSpec spec = find(word, specs, setting, i == 0);
            if (texts.put(spec.name(), text(spec, setting, i == 0)) != null) {
                throw new ConfigException("'" + word + "': " + spec.name() + " is given twice");
            }
        }
        return texts;
    }

    private static String text(OptionSpec spec, StageText.Setting setting, boolean first) {
        return setting.key().isEmpty() && setting.value().equals(spec.name()) && !(first && spec.positional())
                ? "on"
                : setting.value();
    }

    private static String example(String owner, OptionSpec spec) {
        String value = switch (spec.type()) {
            case PATH -> "FILE";
            case SIZE -> "64M";
            case DURATION -> "5s";
            case NUMBER -> "1";
            case HOST_PORT -> "127.0.0.1:10809";
            case SWITCH -> "on";
            case CHOICE -> spec.choices().get(0);
            case TEXT -> "TEXT";
        };
        return owner + ":" + (spec.positional() ? "" : spec.name() + "=") + value;
    }

    private static OptionSpec find(
            StageText word, Map<String, OptionSpec> specs, StageText.Setting setting, boolean first)
            throws ConfigException {
        if (setting.key().isEmpty()) {
            Optional<OptionSpec> positional =
                    specs.values().stream().filter(OptionSpec::positional).findFirst();
            OptionSpec named = specs.get(setting.value());
            boolean isSwitch = named != null && named.type() == OptionType.SWITCH;
            if (first && positional.isPresent() && !isSwitch) {
                return positional.get();
            }
            if (isSwitch) {
                return java.util.Objects.requireNonNull(named);
            }
            throw new ConfigException("'" + word + "': '" + setting.value() + "' has no key; write key=value"
                    + known(word, specs, setting.value()));
        }
        OptionSpec spec = specs.get(setting.key());
        if (spec == null) {
            throw new ConfigException("'" + word + "': " + word.name() + " has no option '" + setting.key() + "'"
                    + known(word, specs, setting.key()));
        }
        return spec;
    }

    private static String known(StageText word, Map<String, OptionSpec> specs, String wrong) {
        if (specs.isEmpty()) {
            return "; " + word.name() + " takes no options";
        }
        return Suggestions.closest(wrong, specs.keySet())
                .map(near -> "; did you mean " + near + "?")
                .orElse("; it takes " + specs.keySet().stream().collect(Collectors.joining(", "))
                        + "; a comma that belongs to a value is written \\,");
    }

    private @Nullable Object value(String name, OptionType type) {
        OptionSpec spec = specs.get(name);
        if (spec == null || spec.type() != type) {
            throw new IllegalArgumentException(owner + " declares no option '" + name + "' of type " + type);
        }
        return values.get(name);
    }

    private Object present(String name, OptionType type) {
        Object value = value(name, type);
        if (value == null) {
            throw new IllegalArgumentException(owner + ": option '" + name + "' has neither value nor default");
        }
        return value;
    }

    /** Returns the name of the stage or tap, for messages. */
    public String owner() {
        return owner;
    }

    /** Returns whether an option has a value, given or by default. */
    public boolean has(String name) {
        return values.containsKey(name);
    }

    /** Returns the value of a {@link OptionType#TEXT}. */
    public String text(String name) {
        return (String) present(name, OptionType.TEXT);
    }

    /** Returns the value of a {@link OptionType#PATH}. */
    public Path path(String name) {
        return (Path) present(name, OptionType.PATH);
    }

    /** Returns the value of a {@link OptionType#SIZE} in bytes. */
    public long sizeBytes(String name) {
        return (Long) present(name, OptionType.SIZE);
    }

    /** Returns the value of a {@link OptionType#NUMBER}. */
    public long number(String name) {
        return (Long) present(name, OptionType.NUMBER);
    }

    /** Returns the value of a {@link OptionType#SWITCH}; off if it is not given and has no default. */
    public boolean isOn(String name) {
        Object value = value(name, OptionType.SWITCH);
        return value != null && (Boolean) value;
    }

    /** Returns the value of a {@link OptionType#DURATION}. */
    public Duration duration(String name) {
        return (Duration) present(name, OptionType.DURATION);
    }

    /** Returns the value of a {@link OptionType#CHOICE}. */
    public String choice(String name) {
        return (String) present(name, OptionType.CHOICE);
    }

    /** Returns the value of a {@link OptionType#HOST_PORT}, unresolved. */
    public java.net.InetSocketAddress hostPort(String name) {
        return (java.net.InetSocketAddress) present(name, OptionType.HOST_PORT);
    }
}

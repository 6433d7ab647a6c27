package io.blocktap.launcher;

import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.Suggestions;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Option;

/** Options that every command takes. */
final class CommonOptions {
    /** Read by logback.xml; must be set before the first logger is made. */
    private static final String LEVEL_PROPERTY = "blocktap.log";

    private static final List<String> LEVELS = List.of("error", "warn", "info", "debug", "trace", "off");

    /** What commands with these options implement. */
    interface Holder {
        /** Returns the options. */
        CommonOptions common();
    }

    @Option(
            names = "--log-level",
            paramLabel = "LEVEL",
            description = "error, warn, info, debug, trace or off; the log goes to the standard error. Also by the"
                    + " environment: BLOCKTAP_LOG.")
    @Nullable
    String logLevel;

    @Option(
            names = {"-v", "--verbose"},
            description = "Log at level debug, and show the stack trace of a failure.")
    boolean verbose;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "Show this help.")
    boolean help;

    /** Sets the level of the log. Before any logger is made. */
    void startLogging(String defaultLevel) throws ConfigException {
        String fromEnvironment = System.getenv("BLOCKTAP_LOG");
        String asked = logLevel != null ? logLevel : fromEnvironment;
        String level =
                asked != null && !asked.isEmpty() ? asked.toLowerCase(Locale.ROOT) : verbose ? "debug" : defaultLevel;
        if (!LEVELS.contains(level)) {
            String source = logLevel != null ? "--log-level" : "BLOCKTAP_LOG";
            throw new ConfigException(source + " '" + level + "': "
                    + Suggestions.closest(level, LEVELS)
                            .map(near -> "did you mean " + near + "?")
                            .orElse("it is one of " + String.join(", ", LEVELS)));
        }
        System.setProperty(LEVEL_PROPERTY, level);
    }

    /** Returns the options of a command; defaults if it has none. */
    static CommonOptions of(CommandLine command) {
        return command.getCommandSpec().userObject() instanceof Holder holder ? holder.common() : new CommonOptions();
    }
}

package io.blocktap.launcher;

import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.Suggestions;
import io.blocktap.transport.Printable;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Stream;
import picocli.CommandLine;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/** Where the program starts: reads the arguments, runs a command, and turns what went wrong into one line and an exit code. */
public final class Main {
    /** All went well. */
    static final int OK = 0;
    /** Something failed at run time: a file, a port, a device. */
    static final int FAILED = 1;
    /** What the user wrote is wrong. */
    static final int USAGE = 2;

    private static final String LEAK_DETECTION = "io.netty.leakDetection.level";

    private Main() {}

    /** Runs the program and ends the process with its exit code. */
    public static void main(String[] arguments) {
        // Netty's default looks for leaks in a sample of the buffers, and touches every message of every handler for
        // it. A test switches it on.
        if (System.getProperty(LEAK_DETECTION) == null) {
            System.setProperty(LEAK_DETECTION, "disabled");
        }
        int code = FAILED;
        try {
            code = run(writer(System.out), writer(System.err), arguments);
            // A server goes on without its output; a command's is what it is for.
            if (code == OK && System.out.checkError() && !List.of(arguments).contains("serve")) {
                if (!isPipe("/proc/self/fd/1")) { // whoever has read enough of a pipe knows
                    System.err.println("blocktap: the output can not be written: it is closed, or its disk is full");
                }
                code = FAILED;
            }
        } catch (Throwable e) {
            // Before a command was found, or while its failure was told.
            System.err.println("blocktap: " + e);
        } finally {
            System.exit(code);
        }
    }

    private static boolean isPipe(String file) {
        try {
            return Files.readSymbolicLink(Path.of(file)).toString().startsWith("pipe:");
        } catch (IOException e) {
            return false;
        }
    }

    private static PrintWriter writer(PrintStream stream) {
        return new PrintWriter(new OutputStreamWriter(stream, StandardCharsets.UTF_8), true);
    }

    /**
     * Runs one command; the command waits until it is done.
     *
     * @param out for what scripts read
     * @param err for messages to people
     * @return the exit code
     */
    static int run(PrintWriter out, PrintWriter err, String... arguments) {
        List<String> own = new ArrayList<>(List.of(arguments));
        List<String> captive = new ArrayList<>();
        int end = own.indexOf("--");
        if (end >= 0) {
            captive.addAll(own.subList(end + 1, own.size()));
            own.subList(end, own.size()).clear();
        }
        CommandLine line = commandLine().setOut(out).setErr(err);
        if (end >= 0) {
            CommandLine command = Objects.requireNonNull(line.getSubcommands().get("serve"));
            ServeCommand serve = (ServeCommand) command.getCommandSpec().userObject();
            serve.captive(captive);
            if (own.isEmpty() || !own.get(0).equals("serve")) {
                return complain(line, "'--' stands before the command of 'serve ... -- COMMAND' only");
            }
        }
        return line.execute(own.toArray(String[]::new));
    }

    static CommandLine commandLine() {
        CommandLine line = new CommandLine(new BlocktapCommand());
        line.setExpandAtFiles(false);
        line.setColorScheme(CommandLine.Help.defaultColorScheme(Terminal.colours() ? Ansi.ON : Ansi.OFF));
        line.setUsageHelpWidth(Terminal.width());
        line.setParameterExceptionHandler(Main::wrongArguments);
        line.setExecutionExceptionHandler((failure, command, parsed) -> failed(failure, command));
        line.setExecutionStrategy(Main::execute);
        return line;
    }

    /** Runs the command, or shows its help. Picocli forgives wrong words if --help is given, and lets errors of the JVM through. */
    private static int execute(ParseResult parsed) {
        CommandLine command = parsed.commandSpec().commandLine();
        for (CommandLine each : parsed.asCommandLineList()) {
            command = each;
            List<String> unmatched = each.getParseResult().unmatched();
            if (!unmatched.isEmpty()) {
                throw new UnmatchedArgumentException(each, unmatched);
            }
        }
        try {
            return new CommandLine.RunLast().execute(parsed);
        } catch (Error e) {
            return failed(e, command);
        }
    }

    private static int wrongArguments(ParameterException mistake, String[] arguments) {
        CommandLine command = mistake.getCommandLine();
        return complain(command, message(mistake, command));
    }

    private static int complain(CommandLine command, String message) {
        PrintWriter err = command.getErr();
        message.lines().forEach(line -> err.println("blocktap: " + Printable.whole(line)));
        err.println("blocktap: see '" + command.getCommandSpec().qualifiedName() + " --help'");
        return USAGE;
    }

    private static String message(ParameterException mistake, CommandLine command) {
        if (mistake instanceof UnmatchedArgumentException unmatched
                && !unmatched.getUnmatched().isEmpty()) {
            String wrong = unmatched.getUnmatched().get(0);
            String key = wrong.contains("=") ? wrong.substring(0, wrong.indexOf('=')) : wrong;
            Optional<String> near = wrong.startsWith("-")
                    ? Suggestions.closest(
                            key, command.getCommandSpec().optionsMap().keySet())
                    : Suggestions.closest(key, command.getSubcommands().keySet());
            String kind = wrong.startsWith("-")
                    ? "there is no option '" + key + "'"
                    : command.getSubcommands().isEmpty()
                            ? "'" + wrong + "' is one word too many"
                            : "there is no command '" + wrong + "'";
            return kind + near.map(word -> "; did you mean " + word + "?").orElse("");
        }
        return String.valueOf(mistake.getMessage());
    }

    private static int failed(Throwable failure, CommandLine command) {
        PrintWriter err = command.getErr();
        CommonOptions common = CommonOptions.of(command);
        boolean expected = failure instanceof ConfigException
                || failure instanceof StageException
                || failure instanceof FailedException
                || failure instanceof OutOfMemoryError;
        String message = failure instanceof OutOfMemoryError
                ? "out of memory (" + failure.getMessage() + "); give Java more, for example BLOCKTAP_JAVA_OPTS=-Xmx1g"
                : expected ? String.valueOf(failure.getMessage()) : failure.toString();
        // A stage's failure may have names from an image that is not trusted.
        Stream<String> lines = failure instanceof StageException ? Stream.of(message) : message.lines();
        lines.forEach(line -> err.println("blocktap: " + Printable.whole(line)));
        if (common.verbose) {
            failure.printStackTrace(err);
        } else if (!expected) {
            err.println("blocktap: this is a mistake in blocktap; --verbose shows where");
        }
        err.flush();
        return failure instanceof ConfigException
                ? USAGE
                : failure instanceof FailedException known ? known.exitCode() : FAILED;
    }
}

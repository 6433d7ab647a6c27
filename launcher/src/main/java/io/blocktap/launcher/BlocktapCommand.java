package io.blocktap.launcher;

import java.io.PrintWriter;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.HelpCommand;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The program without a command: help and version. */
@Command(
        name = "blocktap",
        description =
                "Puts your code on the path of a block device: requests of guests and clients run through a chain of stages.",
        synopsisSubcommandLabel = "COMMAND",
        versionProvider = Version.class,
        subcommands = {
            ServeCommand.class,
            StagesCommand.class,
            DemoCommand.class,
            BenchCommand.class,
            InfoCommand.class,
            CommitCommand.class,
            GnbdCommand.class,
            XenCommand.class,
            DoctorCommand.class,
            DriveCommand.class,
            HelpCommand.class
        },
        footer = {
            "",
            "Examples:",
            "  blocktap demo                                              try it: no root, no guest",
            "  blocktap serve --tap nbd:unix=/tmp/d.sock dump image:disk.img",
            "  blocktap stages                                            what can stand in a chain",
            "",
            "'blocktap COMMAND --help' or 'blocktap help COMMAND' tells more. Exit codes: 0 well, 1 failed, 2 wrong usage."
        })
final class BlocktapCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            description = "Show this help.")
    boolean help;

    @Option(
            names = {"-V", "--version"},
            versionHelp = true,
            description = "Show the version, and what this machine offers.")
    boolean version;

    @Override
    public Integer call() {
        PrintWriter err = spec.commandLine().getErr();
        String commands = spec.subcommands().entrySet().stream()
                .filter(command ->
                        !command.getValue().getCommandSpec().usageMessage().hidden())
                .map(Map.Entry::getKey)
                .collect(Collectors.joining(", "));
        err.println("blocktap: say what to do; the commands are " + commands);
        err.println("blocktap: see 'blocktap --help'");
        return Main.USAGE;
    }
}

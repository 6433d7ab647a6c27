package io.blocktap.launcher;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** The operator's part of GNBD. */
@Command(
        name = "gnbd",
        description = "Asks GNBD servers.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {GnbdListCommand.class},
        footer = {"", "Examples:", "  blocktap gnbd list 127.0.0.1"})
final class GnbdCommand implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() {
        spec.commandLine()
                .getErr()
                .println("blocktap: say what to do; the commands are "
                        + String.join(", ", spec.subcommands().keySet()));
        spec.commandLine().getErr().println("blocktap: see 'blocktap gnbd --help'");
        return Main.USAGE;
    }
}

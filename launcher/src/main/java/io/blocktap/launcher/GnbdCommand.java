package io.blocktap.launcher;

import picocli.CommandLine.Command;

/** The operator's part of GNBD. */
@Command(
        name = "gnbd",
        description = "Asks GNBD servers.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {GnbdListCommand.class},
        footer = {"", "Examples:", "  blocktap gnbd list 127.0.0.1"})
final class GnbdCommand extends CommandGroup {}

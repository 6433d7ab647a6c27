package io.blocktap.launcher;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** The toolstack's part of Xen disks. */
@Command(
        name = "xen",
        description = "Attaches disks to Xen guests, detaches them, and tells how they stand.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = {
            XenAttachCommand.class,
            XenDetachCommand.class,
            XenListCommand.class,
            XenHotplugScriptCommand.class
        },
        footer = {
            "",
            "Examples:",
            "  blocktap serve --tap xen image:/srv/guest.img     the server, in domain 0",
            "  blocktap xen attach g1 xvda                       its disk becomes xvda of guest g1",
            "  blocktap xen list",
            "  blocktap xen detach g1 xvda"
        })
final class XenCommand implements Callable<Integer>, CommonOptions.Holder {
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
        spec.commandLine().getErr().println("blocktap: see 'blocktap xen --help'");
        return Main.USAGE;
    }
}

package io.blocktap.launcher;

import picocli.CommandLine.Command;

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
final class XenCommand extends CommandGroup {}

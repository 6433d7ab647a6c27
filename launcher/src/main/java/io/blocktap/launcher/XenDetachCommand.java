package io.blocktap.launcher;

import io.blocktap.launcher.xen.VirtualDevice;
import io.blocktap.launcher.xen.XenDevice;
import io.blocktap.launcher.xen.XenHost;
import io.blocktap.launcher.xen.XenToolstack;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import java.time.Duration;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Takes a disk away from a guest. */
@Command(
        name = "detach",
        description = {
            "Detaches a disk from a guest: both sides are asked to end; when they have, and the disk is flushed, the device is removed.",
            "",
            "A guest that uses the disk (a mounted file system) goes on to do so until it lets go. --force takes the disk away all the same:"
                    + " requests in flight are answered, later ones fail in the guest.",
            ""
        },
        sortOptions = false,
        footer = {
            "",
            "Examples:",
            "  blocktap xen detach g1 xvda",
            "  blocktap xen detach --force --timeout 5s 7 xvdb",
            "",
            "Exit codes: 0 detached, 1 failed or not in time, 2 wrong usage."
        })
final class XenDetachCommand implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Mixin
    private final XenDeviceOptions which = new XenDeviceOptions();

    @Option(names = "--force", description = "Remove the device even if it is not closed in time.")
    private boolean force;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws ConfigException, StageException, FailedException {
        common.startLogging("warn");
        VirtualDevice device = which.device();
        Duration limit = which.limit();
        try (XenHost host = XenHosts.connect()) {
            XenToolstack toolstack = new XenToolstack(host);
            XenDevice present = toolstack.find(which.domain(), device);
            boolean isClosed = toolstack.close(present, limit);
            if (!isClosed && !force) {
                throw new FailedException(present + " is not closed within " + limit.toMillis()
                        + " ms: the guest uses it still (mounted?), or no server runs; it closes when the guest lets go. Detach again then,"
                        + " or use --force");
            }
            toolstack.remove(present);
            spec.commandLine().getOut().println("detached: " + present + (isClosed ? "" : ", by force"));
            spec.commandLine().getOut().flush();
        }
        return Main.OK;
    }
}

package io.blocktap.launcher;

import io.blocktap.launcher.xen.VirtualDevice;
import io.blocktap.launcher.xen.XenDevice;
import io.blocktap.launcher.xen.XenHost;
import io.blocktap.launcher.xen.XenToolstack;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ChainParser;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.transport.xen.store.XenbusState;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Gives a guest a disk, by xenstore alone: for every xl. */
@Command(
        name = "attach",
        description = {
            "Attaches a disk to a running guest, and waits until the guest has connected. A server must run: 'blocktap serve --tap xen ...'.",
            "",
            "Without STAGES the guest gets the server's default disk. One word without a colon names a disk of the server. Otherwise STAGES are a"
                    + " chain that the server opens for this guest alone, if its option allow= permits that.",
            ""
        },
        sortOptions = false,
        footer = {
            "",
            "Examples:",
            "  blocktap xen attach g1 xvda",
            "  blocktap xen attach g1 xvdb vm1-data",
            "  blocktap xen attach 7 51728 dump:/var/log/g1.trace image:/srv/vm/g1.img",
            "  blocktap xen attach --no-wait --read-only g1 xvdc install-cd",
            "",
            "Exit codes: 0 attached, 1 refused or not in time, 2 wrong usage."
        })
final class XenAttachCommand implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Mixin
    private final XenDeviceOptions which = new XenDeviceOptions();

    @Parameters(index = "2..*", paramLabel = "STAGES", description = "A disk's name, or a chain.")
    private List<String> stages = new ArrayList<>();

    @Option(names = "--read-only", description = "The guest may not write. The disk must be read-only as well.")
    private boolean readOnly;

    @Option(names = "--no-wait", description = "Wait for the server only, not for the guest.")
    private boolean noWait;

    @Option(
            names = "--kind",
            paramLabel = "KIND",
            defaultValue = "tap",
            description = "The server's kind: tap (default) or vbd3.")
    private String kind = "tap";

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws ConfigException, StageException {
        common.startLogging("warn");
        VirtualDevice device = which.device();
        Duration limit = which.limit();
        if (!XenToolstack.KINDS.contains(kind)) {
            throw new ConfigException("--kind " + kind + ": it is one of " + String.join(", ", XenToolstack.KINDS));
        }
        String params = params();
        try (XenHost host = XenHosts.connect()) {
            XenToolstack toolstack = new XenToolstack(host);
            XenDevice wanted = toolstack.device(which.domain(), device, kind);
            toolstack.create(wanted, params, readOnly ? XenToolstack.Mode.READ_ONLY : XenToolstack.Mode.READ_WRITE);
            XenbusState state =
                    toolstack.awaitServed(wanted, noWait ? XenbusState.INIT_WAIT : XenbusState.CONNECTED, limit);
            spec.commandLine().getOut().println("attached: " + wanted + ", " + state);
            spec.commandLine().getOut().flush();
        }
        return Main.OK;
    }

    /** A chain is checked for its form here; what the stages make of it, the server tells. */
    private String params() throws ConfigException {
        List<String> words = new ArrayList<>();
        for (String word : stages) {
            words.add(word.replace(" ", "\\ "));
        }
        String text = String.join(" ", words);
        if (words.size() > 1 || text.indexOf(':') >= 0) {
            ChainParser.line(text);
        }
        return text;
    }
}

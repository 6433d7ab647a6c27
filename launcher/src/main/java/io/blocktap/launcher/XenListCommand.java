package io.blocktap.launcher;

import io.blocktap.launcher.xen.XenDeviceList;
import io.blocktap.launcher.xen.XenHost;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.Json;
import io.blocktap.transport.Printable;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Tells how the disks of guests stand. */
@Command(
        name = "list",
        description =
                "Lists the disks of guests that blocktap serves or is to serve: both sides' states, and what a running server counts.",
        footer = {
            "",
            "Examples:",
            "  blocktap xen list",
            "  blocktap xen list --json | jq '.devices[] | select(.domain == \"g1\") | .counters'"
        })
final class XenListCommand implements Callable<Integer>, CommonOptions.Holder {
    private static final String ROW = "%-16s %-6s %-4s %-13s %-13s %-4s %5s %10s %10s %8s  %s";

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Option(names = "--json", description = "Print JSON.")
    private boolean json;

    @Option(
            names = "--status",
            paramLabel = "DIR",
            defaultValue = "/run/blocktap",
            description = "Where the server keeps its status file (xen:status=DIR), default ${DEFAULT-VALUE}.")
    private Path status = Path.of("/run/blocktap");

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws ConfigException, StageException {
        common.startLogging("warn");
        List<Map<String, Object>> devices;
        try (XenHost host = XenHosts.connect()) {
            devices = new XenDeviceList(host, status).read();
        }
        PrintWriter out = spec.commandLine().getOut();
        if (json) {
            out.println(Json.pretty(Map.of("devices", devices)));
        } else {
            table(out, devices);
        }
        out.flush();
        tellMissingServers(devices);
        return Main.OK;
    }

    private static void table(PrintWriter out, List<Map<String, Object>> devices) {
        out.println(String.format(
                ROW,
                "GUEST",
                "VDEV",
                "KIND",
                "SERVER",
                "GUEST",
                "MODE",
                "RINGS",
                "READS",
                "WRITES",
                "INFLIGHT",
                "DISK"));
        for (Map<String, Object> device : devices) {
            Map<?, ?> counters = device.get("counters") instanceof Map<?, ?> map ? map : Map.of();
            out.println(String.format(
                    ROW,
                    shown(device.get("domain") == null ? device.get("domid") : device.get("domain")),
                    shown(device.get("vdev")),
                    shown(device.get("kind")),
                    shown(device.get("backendState")),
                    shown(device.get("frontendState")),
                    shown(device.get("mode")),
                    shown(device.get("rings")),
                    shown(counters.get("reads")),
                    shown(counters.get("writes")),
                    shown(device.get("inFlight")),
                    diskOf(device)));
        }
    }

    /** The states in xenstore stay as they were when a server has ended, so that they tell nothing of it. */
    private void tellMissingServers(List<Map<String, Object>> devices) {
        devices.stream()
                .filter(device -> "Connected".equals(device.get("backendState")) && device.get("counters") == null)
                .map(device -> String.valueOf(device.get("kind")))
                .distinct()
                .forEach(kind -> spec.commandLine()
                        .getErr()
                        .println("blocktap: no running server is seen for the disks of kind " + kind
                                + " (by its status file in " + status
                                + "): their guests wait; start 'blocktap serve --tap xen"
                                + (kind.equals("tap") ? "" : ":kind=" + kind) + " ...' again"));
    }

    private static String diskOf(Map<String, Object> device) {
        Object error = device.get("error");
        String params = String.valueOf(device.get("params"));
        Object chain = device.get("chain");
        String named = params.isEmpty() ? "the default disk" : Printable.of(params);
        return named
                + (chain == null || chain.equals(params) ? "" : " (" + Printable.of(chain.toString()) + ")")
                + (error == null ? "" : " ERROR: " + Printable.of(error.toString()));
    }

    private static String shown(@Nullable Object value) {
        return value == null ? "-" : Printable.of(value.toString());
    }
}

package io.blocktap.launcher;

import com.google.inject.Module;
import io.blocktap.launcher.load.LoadProcess;
import io.blocktap.launcher.load.LoadSpec;
import io.blocktap.launcher.load.OpResult;
import io.blocktap.launcher.load.Target;
import io.blocktap.launcher.server.BlocktapServer;
import io.blocktap.launcher.server.DiskSpec;
import io.blocktap.launcher.server.Plugins;
import io.blocktap.launcher.server.ServerSettings;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.Json;
import io.blocktap.pipeline.config.OptionParser;
import io.blocktap.pipeline.config.Suggestions;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Measures a chain behind a tap, driven from a second process. */
@Command(
        name = "bench",
        sortOptions = false,
        customSynopsis = {"blocktap bench [OPTIONS] STAGE...", "       blocktap bench [OPTIONS] --uri URI"},
        description = {
            "Measures a chain behind a tap: requests a second, latency, CPU time and garbage of the server. A second process drives"
                    + " it.",
            "",
            "The patterns that write (write, rw, randwrite, randrw) DESTROY what is on the disk. They need --destroy-data, unless the"
                    + " chain ends in memory, in null, or in an image that it makes itself.",
            ""
        },
        footer = {
            "",
            "Examples:",
            "  blocktap bench null",
            "  blocktap bench --tap nbd --rw randrw --qd 16 memory:256M",
            "  blocktap bench --bs 64K --qd 4 --time 10s --json dump:/dev/null memory:256M",
            "  blocktap bench --uri 'nbd+unix:///?socket=/tmp/other-server.sock'",
            "  blocktap bench --rw randwrite --destroy-data image:/dev/vg0/scratch,direct=on",
            "  blocktap bench --tap xen --qd 1 memory:256M"
        })
final class BenchCommand implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Parameters(arity = "0..*", paramLabel = "STAGE", description = "The chain that is measured.")
    private List<String> stages = new ArrayList<>();

    @Option(
            names = "--tap",
            paramLabel = "TAP",
            defaultValue = "loopback",
            description =
                    "loopback or nbd, on a unix socket of its own, xen (in a domain of Xen that may serve disks, as root), or a whole word"
                            + " such as nbd:tcp=127.0.0.1:0.")
    private String tap = "loopback";

    @Option(names = "--uri", paramLabel = "URI", description = "Drive a server that runs already, of whatever make.")
    private @Nullable String uri;

    @Option(
            names = "--rw",
            paramLabel = "PATTERN",
            defaultValue = "randread",
            description =
                    "read, write, rw, randread, randwrite or randrw; mixed ones read half. Default ${DEFAULT-VALUE}.")
    private String pattern = "randread";

    @Option(names = "--destroy-data", description = "Write to a disk though it holds data, or may: they are lost.")
    private boolean destroyData;

    @Option(
            names = "--bs",
            paramLabel = "SIZE",
            defaultValue = "4K",
            description = "Length of each request, a multiple of 512, at most 1M. Default ${DEFAULT-VALUE}.")
    private String blockSize = "4K";

    @Option(
            names = "--qd",
            paramLabel = "N",
            defaultValue = "32",
            description = "Requests in flight of each job. Default ${DEFAULT-VALUE}.")
    private int queueDepth = 32;

    @Option(
            names = "--jobs",
            paramLabel = "N",
            defaultValue = "1",
            description = "Clients with a connection each. Default ${DEFAULT-VALUE}.")
    private int jobs = 1;

    @Option(
            names = "--time",
            paramLabel = "TIME",
            defaultValue = "5s",
            description = "How long is measured. Default ${DEFAULT-VALUE}.")
    private String time = "5s";

    @Option(
            names = "--warm-up",
            paramLabel = "TIME",
            defaultValue = "5s",
            description = "How long it runs before; Java needs it to compile. Default ${DEFAULT-VALUE}.")
    private String warmUp = "5s";

    @Option(
            names = "--range",
            paramLabel = "SIZE",
            defaultValue = "0",
            description = "Use the first SIZE bytes of the disk only.")
    private String range = "0";

    @Option(names = "--seed", paramLabel = "N", defaultValue = "1", description = "Seed of the random offsets.")
    private long seed = 1;

    @Option(names = "--json", description = "Print JSON.")
    private boolean json;

    @ArgGroup(validate = false, heading = "%nThe server:%n")
    private final ServerOptions serverOptions = new ServerOptions();

    @ArgGroup(validate = false, heading = "%nMore stages:%n")
    private final StageOptions stageOptions = new StageOptions();

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws ConfigException, StageException, FailedException {
        common.startLogging("warn");
        LoadSpec load = load();
        String given = uri;
        if (given != null) {
            if (!stages.isEmpty()) {
                throw new ConfigException(
                        "'" + stages.get(0) + "': --uri measures a server that runs; leave out either");
            }
            Target.parse(given);
            refuseToDestroy(load, Optional.of(given));
            List<OpResult> results = drive(given, load, null);
            show(given, load, results, null, null);
            return Main.OK;
        }
        refuseToDestroy(load, DestroyCheck.dataIn(stages));
        try (WorkDirectory directory = new WorkDirectory();
                Plugins plugins = stageOptions.loadPlugins();
                BlocktapServer server = BlocktapServer.builder()
                        .plugins(plugins)
                        .modules(stageOptions.makeModules(plugins).toArray(Module[]::new))
                        .settings(serverOptions.applyTo(ServerSettings.DEFAULT))
                        .tap(tapWord(directory))
                        .disk(DiskSpec.ofWords("", "", stages))
                        .start()) {
            ServerCost cost = new ServerCost();
            List<OpResult> results = drive(server.uris().get(0), load, cost);
            show(String.join(" ", stages), load, results, cost, server.settings());
        }
        return Main.OK;
    }

    private void refuseToDestroy(LoadSpec load, Optional<String> data) throws ConfigException {
        if (load.writes() && data.isPresent() && !destroyData) {
            throw new ConfigException("--rw " + pattern + " would destroy the data in " + data.get()
                    + "; add --destroy-data if nobody needs them, or take --rw read or randread");
        }
    }

    private LoadSpec load() throws ConfigException {
        long blockBytes = size("--bs", blockSize);
        if (blockBytes < 512 || blockBytes > 1 << 20 || blockBytes % 512 != 0) {
            throw new ConfigException("--bs " + blockSize + ": a multiple of 512, at most 1M");
        }
        if (queueDepth < 1 || queueDepth > 1024) {
            throw new ConfigException("--qd " + queueDepth + ": it is 1 to 1024");
        }
        if (jobs < 1 || jobs > 256) {
            throw new ConfigException("--jobs " + jobs + ": it is 1 to 256");
        }
        if (!LoadSpec.patterns().contains(pattern)) {
            throw new ConfigException("--rw " + pattern + ": "
                    + Suggestions.closest(pattern, LoadSpec.patterns())
                            .map(near -> "did you mean " + near + "?")
                            .orElse("it is one of " + String.join(", ", LoadSpec.patterns())));
        }
        long measuredMillis = millis("--time", time);
        if (measuredMillis < 1) {
            throw new ConfigException("--time " + time + ": it is 1ms or more");
        }
        return new LoadSpec(
                false,
                pattern,
                (int) blockBytes,
                queueDepth,
                jobs,
                millis("--warm-up", warmUp),
                measuredMillis,
                size("--range", range),
                seed);
    }

    private static long size(String option, String text) throws ConfigException {
        try {
            return OptionParser.size(text);
        } catch (ConfigException e) {
            throw new ConfigException(option + " " + text + ": " + e.getMessage());
        }
    }

    private static long millis(String option, String text) throws ConfigException {
        try {
            return OptionParser.duration(text).toMillis();
        } catch (ConfigException e) {
            throw new ConfigException(option + " " + text + ": " + e.getMessage());
        }
    }

    private String tapWord(WorkDirectory directory) {
        if (tap.equals("xen")) {
            return "xen:kind=bench"; // a directory that no toolstack and no other server uses
        }
        return tap.indexOf(':') >= 0 ? tap : tap + ":unix=" + directory.resolve("bench.sock");
    }

    private List<OpResult> drive(String where, LoadSpec load, @Nullable ServerCost cost) throws FailedException {
        PrintWriter err = spec.commandLine().getErr();
        try (Progress progress = new Progress(err, "measuring", Terminal.showsProgress())) {
            return LoadProcess.drive(Main.class.getName(), where, load, new LoadProcess.Listener() {
                @Override
                public void begin() {
                    if (cost != null) {
                        cost.begin();
                    }
                }

                @Override
                public void end() {
                    if (cost != null) {
                        cost.end();
                    }
                }

                @Override
                public void progress(double fraction) {
                    progress.show(fraction);
                }
            });
        } catch (IOException e) {
            throw new FailedException("bench: " + e.getMessage(), e);
        }
    }

    private void show(
            String what,
            LoadSpec load,
            List<OpResult> results,
            @Nullable ServerCost cost,
            @Nullable ServerSettings settings) {
        PrintWriter out = spec.commandLine().getOut();
        long requests = results.stream().mapToLong(OpResult::requests).sum();
        double cpu = cost == null || requests == 0 ? Double.NaN : cost.cpuMicros() / requests;
        double garbage = cost == null || requests == 0 ? Double.NaN : (double) cost.loopBytes() / requests;
        if (json) {
            Map<String, Object> all = new LinkedHashMap<>();
            all.put("measured", what);
            all.put("tap", uri == null ? tap : null);
            all.put("rw", load.pattern());
            all.put("blockBytes", load.blockBytes());
            all.put("queueDepth", load.queueDepth());
            all.put("jobs", load.jobs());
            all.put("server", settings == null ? null : settings.toMap());
            all.put("results", results.stream().map(OpResult::toMap).toList());
            all.put("serverCpuMicrosPerRequest", Double.isNaN(cpu) ? null : OpResult.rounded(cpu));
            all.put("serverLoopBytesPerRequest", Double.isNaN(garbage) ? null : OpResult.rounded(garbage));
            out.println(Json.pretty(all));
        } else {
            out.println(what + (uri == null ? ", tap " + tap : "") + ", " + load.pattern() + ", " + blockSize
                    + ", depth " + load.queueDepth() + (load.jobs() == 1 ? "" : ", " + load.jobs() + " jobs"));
            Report.print(out, results);
            if (cost != null) {
                out.println(String.format(
                        Locale.ROOT,
                        "server: %.2f us CPU and %.1f bytes of garbage on event loops per request",
                        cpu,
                        garbage));
            }
        }
        out.flush();
    }
}

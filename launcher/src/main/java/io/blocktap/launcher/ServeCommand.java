package io.blocktap.launcher;

import com.google.inject.Module;
import io.blocktap.launcher.config.ConfigFile;
import io.blocktap.launcher.server.BlocktapServer;
import io.blocktap.launcher.server.DiskSpec;
import io.blocktap.launcher.server.Plugins;
import io.blocktap.launcher.server.ServerSettings;
import io.blocktap.pipeline.Disk;
import io.blocktap.pipeline.Feature;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.Json;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Serves disks until a signal comes, or the captive command ends. */
@Command(
        name = "serve",
        sortOptions = false,
        customSynopsis = {
            "blocktap serve --tap TAP [--tap TAP...] [OPTIONS] STAGE... [-- COMMAND [ARGUMENT...]]",
            "       blocktap serve --config FILE [OPTIONS] [-- COMMAND [ARGUMENT...]]"
        },
        description = {
            "Serves disks: one whose chain is given by STAGE words, or those of a configuration file.",
            "",
            "A stage or tap is written name[:value][,key=value...]; 'blocktap stages' lists them. The last stage is a"
                    + " terminator, which answers requests; those before it see them pass.",
            "",
            "SIGTERM, SIGINT and SIGHUP end it: no new requests, those in flight are answered, disks are flushed, exit code 0. A"
                    + " second signal ends it hard, exit code 1.",
            "",
            "With -- COMMAND it lives as long as that command, and exits with its exit code. The command finds the address in the"
                    + " environment: BLOCKTAP_URI and uri; unixsocket, if it is one.",
            ""
        },
        footer = {
            "",
            "Examples:",
            "  blocktap serve --tap nbd:unix=/tmp/d.sock dump image:disk.img",
            "  blocktap serve --tap nbd:tcp=127.0.0.1:10809 --tap loopback:/tmp/l.sock memory:1G",
            "  blocktap serve --config disks.yaml --threads 2",
            "  blocktap serve --tap nbd:unix=/tmp/d.sock memory:64M -- sh -c 'nbdinfo \"$uri\"'"
        })
final class ServeCommand implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Parameters(arity = "0..*", paramLabel = "STAGE", description = "The chain of the disk, from the tap down.")
    private List<String> stages = new ArrayList<>();

    @Option(
            names = "--tap",
            paramLabel = "TAP",
            description = "Where clients connect. May be given several times; all taps lead to the same disks.")
    private List<String> taps = new ArrayList<>();

    @Option(
            names = "--name",
            paramLabel = "NAME",
            description =
                    "Name of the disk of the STAGE words; clients ask for it. Without it that disk is the default one.")
    private @Nullable String name;

    @Option(names = "--config", paramLabel = "FILE", description = "Read taps, disks and settings from a YAML file.")
    private @Nullable Path config;

    @Option(names = "--print-config", description = "Check everything, print what would be run as JSON, and end.")
    private boolean printConfig;

    @Option(names = "--json", description = "Print the line that says that the server is ready as JSON.")
    private boolean json;

    @Option(
            names = "--pid-file",
            paramLabel = "FILE",
            description = "Write the process id to FILE when ready; remove it last, after all is closed.")
    private @Nullable Path pidFile;

    @ArgGroup(validate = false, heading = "%nThe server:%n")
    private final ServerOptions serverOptions = new ServerOptions();

    @ArgGroup(validate = false, heading = "%nMore stages:%n")
    private final StageOptions stageOptions = new StageOptions();

    @Mixin
    private final CommonOptions common = new CommonOptions();

    private @Nullable List<String> captive;
    private @Nullable ConfigFile configured;

    @Override
    public CommonOptions common() {
        return common;
    }

    /** Takes what stands behind {@code --}. */
    void captive(List<String> command) {
        captive = command;
    }

    @Override
    public Integer call() throws ConfigException, StageException, FailedException {
        common.startLogging("info");
        if (captive != null && captive.isEmpty()) {
            throw new ConfigException("no command stands behind '--'");
        }
        try (Plugins plugins = loadPlugins()) {
            BlocktapServer.Builder builder = assemble(plugins);
            if (printConfig) {
                PrintWriter out = spec.commandLine().getOut();
                out.println(Json.pretty(builder.describe()));
                out.flush();
                return Main.OK;
            }
            return serve(builder);
        }
    }

    private Plugins loadPlugins() throws StageException, ConfigException, FailedException {
        Path file = config;
        if (file != null) {
            configured = ConfigFile.read(file);
            stageOptions.addFrom(configured);
        }
        return stageOptions.loadPlugins();
    }

    private BlocktapServer.Builder assemble(Plugins plugins) throws ConfigException, StageException {
        ConfigFile file = configured;
        BlocktapServer.Builder builder = BlocktapServer.builder()
                .plugins(plugins)
                .modules(stageOptions.makeModules(plugins).toArray(Module[]::new))
                .settings(serverOptions.applyTo(file == null ? ServerSettings.DEFAULT : file.settings()));
        if (file != null) {
            if (!stages.isEmpty()) {
                throw new ConfigException(
                        "'" + stages.get(0) + "': with --config the chains stand in " + config + "; leave out either");
            }
            file.taps().forEach(builder::tap);
            file.disks().forEach(builder::disk);
        }
        taps.forEach(builder::tap);
        if (!stages.isEmpty()) {
            builder.disk(DiskSpec.ofWords(name == null ? "" : name, "", stages));
        } else if (name != null) {
            throw new ConfigException("--name " + name + " names the disk of the STAGE words, but there are none");
        }
        return builder;
    }

    // ---- running

    private int serve(BlocktapServer.Builder builder) throws ConfigException, StageException, FailedException {
        ServerLife life = new ServerLife(spec.commandLine().getErr());
        Signals.onEnd(life::signal);
        // Closed in the opposite order: the file goes when nothing is held any more.
        try (PidFile pids = new PidFile(pidFile).requireFree();
                BlocktapServer server = builder.start()) {
            life.started(server);
            logStart(server);
            pids.write();
            List<String> command = captive;
            if (command != null) {
                return life.untilCommandEnds(Captive.start(command, server.uris()));
            }
            sayReady(server);
            life.untilSignal();
            return Main.OK;
        }
    }

    private static void logStart(BlocktapServer server) {
        // Not a static logger: the level is set by then only.
        LoggerFactory.getLogger(ServeCommand.class)
                .info(
                        "blocktap {} is ready: pid {}, {}",
                        Version.number(),
                        ProcessHandle.current().pid(),
                        server.settings().toMap());
    }

    private void sayReady(BlocktapServer server) {
        PrintWriter out = spec.commandLine().getOut();
        if (json) {
            Map<String, Object> ready = new LinkedHashMap<>();
            ready.put("event", "ready");
            ready.put("pid", ProcessHandle.current().pid());
            ready.put("uris", server.uris());
            ready.put(
                    "disks", server.disks().stream().map(ServeCommand::describe).toList());
            out.println(Json.line(ready));
        } else {
            out.println("ready: " + String.join(" ", server.uris()));
        }
        out.flush();
    }

    private static Map<String, Object> describe(Disk disk) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("name", disk.name());
        map.put("stages", disk.stageNames());
        map.put("chain", disk.description());
        map.put("sizeBytes", disk.geometry().sizeBytes());
        map.put("readOnly", disk.geometry().has(Feature.READ_ONLY));
        return map;
    }
}

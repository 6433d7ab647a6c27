package io.blocktap.launcher;

import io.blocktap.launcher.server.Assembly;
import io.blocktap.launcher.server.EventLoopKind;
import io.blocktap.launcher.server.EventLoops;
import io.blocktap.launcher.server.Plugins;
import io.blocktap.launcher.server.StageCatalog;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.TapCheck;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.Json;
import io.netty.channel.EventLoopGroup;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Tells which taps can be used on this machine, and what the others lack. */
@Command(
        name = "doctor",
        description = "Looks what each tap needs of this machine, and tells the one thing to do for what is missing.",
        footer = {
            "",
            "Examples:",
            "  blocktap doctor",
            "  blocktap doctor xen && blocktap serve --tap xen image:/srv/guest.img",
            "  blocktap doctor --json | jq '.taps[] | select(.usable | not)'",
            "",
            "Exit codes: 0 if all taps that were asked for can be used (without TAP: if any can), 1 if not, 2 wrong usage."
        })
final class DoctorCommand implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Parameters(arity = "0..*", paramLabel = "TAP", description = "Taps to look at; all if none is given.")
    private List<String> wanted = new ArrayList<>();

    @Option(names = "--json", description = "Print JSON.")
    private boolean json;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Mixin
    private final StageOptions stageOptions = new StageOptions();

    @Override
    public CommonOptions common() {
        return common;
    }

    /** A tap, and what was looked at. */
    private record Diagnosis(String tap, List<TapCheck> checks) {
        boolean isUsable() {
            return checks.stream().allMatch(TapCheck::isGood);
        }
    }

    @Override
    public Integer call() throws ConfigException, StageException {
        common.startLogging("error");
        try (Plugins plugins = stageOptions.loadPlugins()) {
            List<Diagnosis> found = diagnose(chosen(
                    Assembly.of(plugins, stageOptions.makeModules(plugins)).catalog()));
            PrintWriter out = spec.commandLine().getOut();
            if (json) {
                out.println(Json.pretty(describe(found)));
            } else {
                tell(out, found);
            }
            out.flush();
            boolean isWell = wanted.isEmpty()
                    ? found.stream().anyMatch(Diagnosis::isUsable)
                    : found.stream().allMatch(Diagnosis::isUsable);
            return isWell ? Main.OK : Main.FAILED;
        }
    }

    private List<TapFactory> chosen(StageCatalog catalog) throws ConfigException {
        if (wanted.isEmpty()) {
            return List.copyOf(catalog.taps());
        }
        List<TapFactory> chosen = new ArrayList<>();
        for (String name : wanted) {
            chosen.add(catalog.tap(name)
                    .orElseThrow(() -> new ConfigException("there is no tap '" + name + "'; the taps are "
                            + String.join(
                                    ", ",
                                    catalog.taps().stream()
                                            .map(TapFactory::name)
                                            .toList()))));
        }
        return chosen;
    }

    private static List<Diagnosis> diagnose(List<TapFactory> taps) throws StageException {
        String missing = EventLoops.missing(EventLoopKind.EPOLL);
        TapCheck epoll = missing == null
                ? TapCheck.good("epoll")
                : TapCheck.bad("epoll", missing + "; blocktap runs on Linux, x86_64 or aarch64");
        List<Diagnosis> found = new ArrayList<>();
        if (missing != null) {
            taps.forEach(tap -> found.add(new Diagnosis(tap.name(), List.of(epoll))));
            return found;
        }
        EventLoopGroup loops = EventLoops.create(EventLoopKind.EPOLL, 1);
        try {
            for (TapFactory tap : taps) {
                List<TapCheck> checks = new ArrayList<>(List.of(epoll));
                checks.addAll(tap.examine(loops.next()));
                found.add(new Diagnosis(tap.name(), checks));
            }
        } finally {
            loops.shutdownGracefully(0, 1, TimeUnit.SECONDS);
        }
        return found;
    }

    private static void tell(PrintWriter out, List<Diagnosis> found) {
        for (Diagnosis tap : found) {
            out.println(tap.tap() + ": " + (tap.isUsable() ? "can be used" : "can not be used"));
            for (TapCheck check : tap.checks()) {
                out.println("  " + (check.isGood() ? "ok       " : "MISSING  ") + check.what());
                if (!check.isGood()) {
                    out.println("           " + check.problem());
                }
            }
        }
        String noUring = uringProblem();
        out.println("io_uring: "
                + (noUring == null ? "there, for --event-loop io_uring" : "not there, and not needed: " + noUring));
    }

    private static @Nullable String uringProblem() {
        return EventLoops.missing(EventLoopKind.IO_URING);
    }

    private static Map<String, Object> describe(List<Diagnosis> found) {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("taps", found.stream().map(DoctorCommand::describe).toList());
        all.put("ioUring", uringProblem() == null);
        return all;
    }

    private static Map<String, Object> describe(Diagnosis tap) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("name", tap.tap());
        map.put("usable", tap.isUsable());
        map.put(
                "checks",
                tap.checks().stream()
                        .map(check -> {
                            Map<String, Object> one = new LinkedHashMap<>();
                            one.put("what", check.what());
                            one.put("ok", check.isGood());
                            one.put("problem", check.problem());
                            return one;
                        })
                        .toList());
        return map;
    }
}

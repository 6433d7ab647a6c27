package io.blocktap.launcher;

import io.blocktap.launcher.server.Assembly;
import io.blocktap.launcher.server.Plugins;
import io.blocktap.launcher.server.StageCatalog;
import io.blocktap.pipeline.StageException;
import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.config.ConfigException;
import io.blocktap.pipeline.config.Json;
import io.blocktap.pipeline.config.OptionSpec;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Tells what can stand in a chain. */
@Command(
        name = "stages",
        description = "Lists what can stand in a chain, and the taps; with a NAME, the options of one.",
        footer = {
            "",
            "Examples:",
            "  blocktap stages",
            "  blocktap stages memory",
            "  blocktap stages --json | jq -r '.stages[].name'",
            "  blocktap stages --plugins my-plugins/"
        })
final class StagesCommand implements Callable<Integer>, CommonOptions.Holder {
    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Mixin
    private final CommonOptions common = new CommonOptions();

    @Mixin
    private final StageOptions stageOptions = new StageOptions();

    @Parameters(arity = "0..1", paramLabel = "NAME", description = "A stage or tap.")
    private @Nullable String name;

    @Option(names = "--json", description = "Print JSON.")
    private boolean json;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Integer call() throws ConfigException, StageException {
        common.startLogging("warn");
        try (Plugins plugins = stageOptions.loadPlugins()) {
            StageCatalog catalog =
                    Assembly.of(plugins, stageOptions.makeModules(plugins)).catalog();
            List<StageFactory> stages = new ArrayList<>(catalog.stages());
            List<TapFactory> taps = new ArrayList<>(catalog.taps());
            String wanted = name;
            if (wanted != null) {
                stages.removeIf(factory -> !factory.name().equals(wanted));
                taps.removeIf(factory -> !factory.name().equals(wanted));
                if (stages.isEmpty() && taps.isEmpty()) {
                    throw new ConfigException("there is no stage or tap '" + wanted + "'; " + catalog.hint(wanted));
                }
            }
            PrintWriter out = spec.commandLine().getOut();
            if (json) {
                out.println(Json.pretty(describe(catalog, stages, taps)));
            } else if (wanted == null) {
                list(out, catalog, stages, taps);
            } else {
                stages.forEach(factory -> tell(
                        out,
                        factory.kind().name().toLowerCase(Locale.ROOT),
                        factory.name(),
                        factory.summary(),
                        factory.options(),
                        catalog.stageOrigin(factory.name())));
                taps.forEach(factory -> tell(
                        out,
                        "tap",
                        factory.name(),
                        factory.summary(),
                        factory.options(),
                        catalog.tapOrigin(factory.name())));
            }
            out.flush();
        }
        return Main.OK;
    }

    // ---- for people

    private static void list(PrintWriter out, StageCatalog catalog, List<StageFactory> stages, List<TapFactory> taps) {
        out.println("Taps, for --tap:");
        taps.forEach(factory -> row(out, factory.name(), factory.summary(), catalog.tapOrigin(factory.name())));
        out.println();
        out.println("Interposers, anywhere in a chain but at its end:");
        listKind(out, catalog, stages, StageFactory.Kind.INTERPOSER);
        out.println();
        out.println("Terminators, at the end of a chain:");
        listKind(out, catalog, stages, StageFactory.Kind.TERMINATOR);
        out.println();
        out.println("'blocktap stages NAME' tells the options of one.");
    }

    private static void listKind(
            PrintWriter out, StageCatalog catalog, List<StageFactory> stages, StageFactory.Kind kind) {
        stages.stream()
                .filter(factory -> factory.kind() == kind)
                .forEach(factory -> row(out, factory.name(), factory.summary(), catalog.stageOrigin(factory.name())));
    }

    private static void row(PrintWriter out, String name, String summary, String origin) {
        String from = origin.equals(StageCatalog.BUILT_IN) ? "" : " [" + origin + "]";
        out.println(String.format("  %-12s %s%s", name, sentence(summary), from));
    }

    private static void tell(
            PrintWriter out, String kind, String name, String summary, List<OptionSpec> options, String origin) {
        out.println(name + ": " + kind + ", " + origin);
        out.println(sentence(summary));
        out.println();
        out.println("  " + synopsis(kind, name, options));
        out.println();
        for (OptionSpec option : options) {
            String more = option.required()
                    ? " Required."
                    : option.defaultText() == null || option.defaultText().isEmpty()
                            ? ""
                            : " Default " + option.defaultText() + ".";
            out.println("  " + option.name() + "=" + option.shownType());
            out.println("      " + sentence(option.doc()) + more);
        }
        if (!options.isEmpty()) {
            out.println();
        }
    }

    private static String synopsis(String kind, String name, List<OptionSpec> options) {
        String first = options.stream()
                .filter(OptionSpec::positional)
                .findFirst()
                .map(option -> option.required()
                        ? ":" + option.name().toUpperCase(Locale.ROOT)
                        : "[:" + option.name().toUpperCase(Locale.ROOT) + "]")
                .orElse("");
        String rest = options.isEmpty() ? "" : first.isEmpty() ? "[:key=value[,key=value...]]" : "[,key=value...]";
        return (kind.equals("tap") ? "--tap " : "") + name + first + rest;
    }

    private static String sentence(String text) {
        String stopped = text.endsWith(".") ? text : text + ".";
        return Character.toUpperCase(stopped.charAt(0)) + stopped.substring(1);
    }

    // ---- for scripts

    private static Map<String, Object> describe(
            StageCatalog catalog, List<StageFactory> stages, List<TapFactory> taps) {
        Map<String, Object> all = new LinkedHashMap<>();
        all.put(
                "stages",
                stages.stream()
                        .map(factory -> describe(
                                factory.name(),
                                factory.kind().name().toLowerCase(Locale.ROOT),
                                factory.summary(),
                                factory.options(),
                                catalog.stageOrigin(factory.name())))
                        .toList());
        all.put(
                "taps",
                taps.stream()
                        .map(factory -> describe(
                                factory.name(),
                                "tap",
                                factory.summary(),
                                factory.options(),
                                catalog.tapOrigin(factory.name())))
                        .toList());
        return all;
    }

    private static Map<String, Object> describe(
            String name, String kind, String summary, List<OptionSpec> options, String origin) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("name", name);
        map.put("kind", kind);
        map.put("summary", summary);
        map.put("from", origin);
        map.put("options", options.stream().map(StagesCommand::describe).toList());
        return map;
    }

    private static Map<String, Object> describe(OptionSpec option) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("name", option.name());
        map.put("type", option.type().name().toLowerCase(Locale.ROOT).replace('_', '-'));
        if (!option.choices().isEmpty()) {
            map.put("choices", option.choices());
        }
        if (option.defaultText() != null) {
            map.put("default", option.defaultText());
        }
        map.put("required", option.required());
        map.put("first", option.positional());
        map.put("doc", option.doc());
        return map;
    }
}

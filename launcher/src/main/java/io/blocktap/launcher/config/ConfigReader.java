package io.blocktap.launcher.config;

import io.blocktap.launcher.server.DiskSpec;
import io.blocktap.launcher.server.ServerSettings;
import io.blocktap.pipeline.config.ConfigException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.api.lowlevel.Parse;
import org.snakeyaml.engine.v2.events.CollectionEndEvent;
import org.snakeyaml.engine.v2.events.CollectionStartEvent;
import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.ScalarNode;

/** Reads one configuration file, and goes on after a mistake so that all are told at once. */
final class ConfigReader {
    private static final List<String> SECTIONS = List.of("server", "plugins", "modules", "taps", "disks");
    private static final List<String> DISK_KEYS = List.of("chain");

    private static final String EMPTY = "it is empty; it needs taps and disks, for example"
            + " {taps: [nbd:unix=/tmp/d.sock], disks: {vm1: {chain: image:vm1.img}}}";

    /** Ours are 4 deep. */
    private static final int MOST_LEVELS = 16;

    private final Nodes nodes;
    private ServerSettings settings = ServerSettings.DEFAULT;
    private @Nullable Path plugins;
    private final List<String> modules = new ArrayList<>();
    private final List<DiskSpec.Word> taps = new ArrayList<>();
    private final List<DiskSpec> disks = new ArrayList<>();

    ConfigReader(String name) {
        nodes = new Nodes(name);
    }

    ConfigFile read(String text) throws ConfigException {
        Optional<Node> root = compose(text);
        if (root.isEmpty()) {
            nodes.mistake(EMPTY);
        } else if (root.get() instanceof MappingNode map && map.getValue().isEmpty()) {
            nodes.mistake(map, EMPTY);
        } else {
            nodes.map(root.get(), "the file", "taps: [...] and disks: {...}", SECTIONS, this::section);
        }
        if (!nodes.mistakes().isEmpty()) {
            throw new ConfigException(String.join("\n", nodes.mistakes()));
        }
        return new ConfigFile(settings, plugins, modules, taps, disks);
    }

    private Optional<Node> compose(String text) throws ConfigException {
        LoadSettings yaml = LoadSettings.builder().setLabel(nodes.name()).build();
        try {
            checkDepth(new Parse(yaml).parseString(text));
            return new Compose(yaml).composeString(text);
        } catch (MarkedYamlEngineException e) {
            throw new ConfigException(nodes.at(e.getProblemMark()) + ": not YAML: " + e.getProblem());
        } catch (YamlEngineException e) {
            String message = String.valueOf(e.getMessage()).lines().findFirst().orElse("");
            throw new ConfigException(nodes.name() + ": not YAML: " + message);
        }
    }

    /** Refuses brackets without end: nodes are made recursively, so they would use up the stack. Events come one by one. */
    private void checkDepth(Iterable<Event> events) throws ConfigException {
        int depth = 0;
        for (Event event : events) {
            if (event instanceof CollectionStartEvent && ++depth > MOST_LEVELS) {
                throw new ConfigException(nodes.at(event.getStartMark()) + ": more than " + MOST_LEVELS
                        + " levels of maps and lists; a configuration file has 4");
            } else if (event instanceof CollectionEndEvent) {
                depth--;
            }
        }
    }

    private void section(ScalarNode key, Node value) {
        switch (key.getValue()) {
            case "server" -> nodes.map(value, "server", "threads: 2", null, this::setting);
            case "plugins" -> nodes.text(value, "plugins", "a directory").ifPresent(text -> plugins(value, text));
            case "modules" -> nodes.texts(value, "modules", "a list of class names", (node, text) -> modules.add(text));
            case "taps" ->
                nodes.texts(
                        value,
                        "taps",
                        "a list, for example [nbd:unix=/run/disk.sock]",
                        (node, text) -> taps.add(new DiskSpec.Word(text, nodes.at(node))));
            default -> nodes.map(value, "disks", "NAME: {chain: ...}", null, this::disk);
        }
    }

    private void setting(ScalarNode key, Node value) {
        nodes.text(value, key.getValue(), "a value").ifPresent(text -> {
            try {
                settings = settings.with(key.getValue() + ": " + text, key.getValue(), text);
            } catch (ConfigException e) {
                nodes.mistake(key, String.valueOf(e.getMessage()));
            }
        });
    }

    private void plugins(Node node, String text) {
        try {
            plugins = Path.of(text);
        } catch (InvalidPathException e) {
            nodes.mistake(node, "plugins: not a path: " + e.getReason());
        }
    }

    private void disk(ScalarNode name, Node value) {
        List<DiskSpec.Part> parts = new ArrayList<>();
        List<ScalarNode> chains = new ArrayList<>();
        BiConsumer<ScalarNode, Node> keys = (key, chain) -> {
            chains.add(key);
            chain(chain, parts);
        };
        String shown = "disk '" + name.getValue() + "'";
        if (nodes.map(value, shown, "chain: dump image:disk.img", DISK_KEYS, keys) && chains.isEmpty()) {
            nodes.mistake(name, shown + " has no chain; write for example chain: dump image:disk.img");
        }
        if (!chains.isEmpty()) {
            disks.add(new DiskSpec(name.getValue(), nodes.at(name), parts));
        }
    }

    private void chain(Node node, List<DiskSpec.Part> parts) {
        if (node instanceof ScalarNode scalar) {
            nodes.text(node, "chain", "words").ifPresent(text -> {
                for (DiskSpec.Piece piece : DiskSpec.splitAt(text)) {
                    parts.add(new DiskSpec.Word(piece.text(), nodes.within(scalar, piece.offset())));
                }
            });
        } else {
            nodes.texts(
                    node,
                    "chain",
                    "one text, or a list of words",
                    (item, text) -> parts.add(new DiskSpec.Word(text, nodes.at(item))));
        }
    }
}

package io.blocktap.launcher.server;

import io.blocktap.pipeline.StageFactory;
import io.blocktap.pipeline.TapFactory;
import io.blocktap.pipeline.config.Suggestions;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/** All stages and taps there are, by name, and where each comes from. Immutable; any thread. */
public final class StageCatalog {
    /** Where the stages of blocktap itself come from. */
    public static final String BUILT_IN = "built in";

    private final SortedMap<String, StageFactory> stages;
    private final SortedMap<String, TapFactory> taps;
    private final Map<String, String> stageOrigins;
    private final Map<String, String> tapOrigins;

    StageCatalog(
            Map<String, StageFactory> stages,
            Map<String, TapFactory> taps,
            Map<String, String> stageOrigins,
            Map<String, String> tapOrigins) {
        this.stages = new TreeMap<>(stages);
        this.taps = new TreeMap<>(taps);
        this.stageOrigins = Map.copyOf(stageOrigins);
        this.tapOrigins = Map.copyOf(tapOrigins);
    }

    /** Returns the stages, sorted by name. */
    public Collection<StageFactory> stages() {
        return stages.values();
    }

    /** Returns the taps, sorted by name. */
    public Collection<TapFactory> taps() {
        return taps.values();
    }

    /** Finds a stage. */
    public Optional<StageFactory> stage(String name) {
        return Optional.ofNullable(stages.get(name));
    }

    /** Finds a tap. */
    public Optional<TapFactory> tap(String name) {
        return Optional.ofNullable(taps.get(name));
    }

    /** Returns where a stage comes from: {@link #BUILT_IN}, a plugin's jar, or a module's class. */
    public String stageOrigin(String name) {
        return stageOrigins.getOrDefault(name, BUILT_IN);
    }

    /** Returns where a tap comes from: {@link #BUILT_IN}, a plugin's jar, or a module's class. */
    public String tapOrigin(String name) {
        return tapOrigins.getOrDefault(name, BUILT_IN);
    }

    /** Returns what to say of a name that is neither stage nor tap: what is meant probably, or where to look. */
    public String hint(String wrong) {
        List<String> all = new ArrayList<>(stages.keySet());
        all.addAll(taps.keySet());
        return Suggestions.closest(wrong, all)
                .map(near -> "did you mean " + near + "?")
                .orElse("'blocktap stages' lists what there is");
    }

    String stageHint(String wrong) {
        if (taps.containsKey(wrong)) {
            return wrong + " is a tap; give it by --tap";
        }
        return Suggestions.closest(wrong, stages.keySet())
                .map(near -> "did you mean " + near + "?")
                .orElse("'blocktap stages' lists what there is");
    }

    String tapHint(String wrong) {
        if (stages.containsKey(wrong)) {
            return wrong + " is a stage; the taps are " + String.join(", ", taps.keySet());
        }
        return Suggestions.closest(wrong, taps.keySet())
                .map(near -> "did you mean " + near + "?")
                .orElse("the taps are " + String.join(", ", taps.keySet()));
    }

    /** Returns the names of the terminators, for messages. */
    String terminatorNames() {
        return String.join(
                ", ",
                stages.values().stream()
                        .filter(factory -> factory.kind() == StageFactory.Kind.TERMINATOR)
                        .map(StageFactory::name)
                        .toList());
    }
}

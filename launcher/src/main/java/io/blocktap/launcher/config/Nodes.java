package io.blocktap.launcher.config;

import io.blocktap.pipeline.config.Suggestions;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;
import org.snakeyaml.engine.v2.common.ScalarStyle;
import org.snakeyaml.engine.v2.exceptions.Mark;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;

/** Takes YAML nodes apart strictly, and collects mistakes with the place of each. */
final class Nodes {
    private final String name;
    private final List<String> mistakes = new ArrayList<>();

    Nodes(String name) {
        this.name = name;
    }

    String name() {
        return name;
    }

    List<String> mistakes() {
        return mistakes;
    }

    void mistake(String text) {
        mistakes.add(name + ": " + text);
    }

    void mistake(Node node, String text) {
        mistakes.add(at(node) + ": " + text);
    }

    // ---- places, counted from 1

    String at(Node node) {
        return at(node.getStartMark());
    }

    String at(Optional<Mark> mark) {
        return mark.map(found -> at(found, 0)).orElse(name);
    }

    private String at(Mark mark, int offset) {
        return name + ":" + (mark.getLine() + 1) + ":" + (mark.getColumn() + 1 + offset);
    }

    /** Returns the place of a word inside a text; the text's own if it is folded or has escapes. */
    String within(ScalarNode scalar, int offset) {
        Optional<Mark> start = scalar.getStartMark();
        Optional<Mark> end = scalar.getEndMark();
        if (start.isEmpty()
                || end.isEmpty()
                || start.get().getLine() != end.get().getLine()) {
            return at(scalar);
        }
        int quotes = scalar.getScalarStyle() == ScalarStyle.PLAIN ? 0 : 1;
        int width = end.get().getColumn() - start.get().getColumn();
        boolean literal = width == scalar.getValue().length() + 2 * quotes;
        return literal ? at(start.get(), quotes + offset) : at(scalar);
    }

    // ---- shapes

    /**
     * Visits the entries of a map.
     *
     * @param what it is, for messages
     * @param example what would be right
     * @param known the keys there may be; null if any
     * @return whether it was a map
     */
    boolean map(
            Node node,
            String what,
            String example,
            @Nullable List<String> known,
            BiConsumer<ScalarNode, Node> visitor) {
        if (!(node instanceof MappingNode mapping)) {
            mistake(node, what + ": expected keys and values, for example " + example);
            return false;
        }
        Set<String> seen = new HashSet<>();
        for (NodeTuple entry : mapping.getValue()) {
            if (!(entry.getKeyNode() instanceof ScalarNode key)) {
                mistake(entry.getKeyNode(), what + ": a key is one word");
            } else if (!seen.add(key.getValue())) {
                mistake(key, what + ": '" + key.getValue() + "' is given twice");
            } else if (known != null && !known.contains(key.getValue())) {
                mistake(
                        key,
                        what + " has no '" + key.getValue() + "'; "
                                + Suggestions.closest(key.getValue(), known)
                                        .map(near -> "did you mean " + near + "?")
                                        .orElse("it takes " + String.join(", ", known)));
            } else {
                visitor.accept(key, entry.getValueNode());
            }
        }
        return true;
    }

    /** Returns a text or number as it is written. */
    Optional<String> text(Node node, String what, String expected) {
        if (node instanceof ScalarNode scalar && !scalar.getValue().isEmpty()) {
            return Optional.of(scalar.getValue());
        }
        mistake(node, what + ": expected " + expected);
        return Optional.empty();
    }

    /** Visits the texts of a list. */
    void texts(Node node, String what, String expected, BiConsumer<Node, String> visitor) {
        if (node instanceof SequenceNode sequence) {
            for (Node item : sequence.getValue()) {
                text(item, what, "a word").ifPresent(text -> visitor.accept(item, text));
            }
        } else {
            mistake(node, what + ": expected " + expected);
        }
    }
}

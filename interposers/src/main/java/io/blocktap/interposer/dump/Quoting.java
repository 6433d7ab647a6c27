package io.blocktap.interposer.dump;

import io.blocktap.pipeline.Geometry;
import java.util.stream.Collectors;

/** Keeps what frontends call themselves from breaking a line. */
final class Quoting {
    private Quoting() {}

    /** Returns the text as a JSON string, quotation marks included. */
    static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < 0x20 || c == 0x7f || Character.isSurrogate(c)) {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }

    /** Returns a disk's name for use inside brackets: {@code disk} if it has none. */
    static String plain(String name) {
        return name.isEmpty() ? "disk" : name.replaceAll("[\\[\\]\\p{Cntrl}\\s]", "_");
    }

    /** Returns the names of the features, sorted; quoted if they are separated by commas. */
    static String features(Geometry geometry, String separator) {
        return geometry.features().stream()
                .sorted()
                .map(feature -> separator.equals(",") ? '"' + feature.name() + '"' : feature.name())
                .collect(Collectors.joining(separator));
    }
}

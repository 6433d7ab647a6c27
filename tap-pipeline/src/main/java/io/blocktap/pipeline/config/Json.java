package io.blocktap.pipeline.config;

import java.util.Iterator;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Writes maps, collections, text, numbers and booleans as JSON (RFC 8259). No state. */
public final class Json {
    private static final String STEP = "  ";

    private Json() {}

    /** Writes a value in one line. */
    public static String line(@Nullable Object value) {
        StringBuilder out = new StringBuilder();
        write(out, value, null);
        return out.toString();
    }

    /** Writes a value over several lines, for people as well. */
    public static String pretty(@Nullable Object value) {
        StringBuilder out = new StringBuilder();
        write(out, value, "\n");
        return out.toString();
    }

    private static void write(StringBuilder out, @Nullable Object value, @Nullable String indent) {
        if (value instanceof Map<?, ?> map) {
            Iterator<? extends Map.Entry<?, ?>> entries = map.entrySet().iterator();
            writeAll(out, '{', '}', indent, entries, (entry, inner) -> {
                quote(out, String.valueOf(entry.getKey()));
                out.append(": ");
                write(out, entry.getValue(), inner);
            });
        } else if (value instanceof Iterable<?> list) {
            writeAll(out, '[', ']', indent, list.iterator(), (item, inner) -> write(out, item, inner));
        } else if (value == null || value instanceof Boolean || isFinite(value)) {
            out.append(value);
        } else if (value instanceof Number) {
            out.append("null"); // JSON has no NaN and no infinity
        } else {
            quote(out, value.toString());
        }
    }

    private interface ItemWriter<T> {
        void write(T item, @Nullable String indent);
    }

    private static <T> void writeAll(
            StringBuilder out,
            char open,
            char close,
            @Nullable String indent,
            Iterator<? extends T> items,
            ItemWriter<T> writer) {
        out.append(open);
        boolean any = items.hasNext();
        String inner = indent == null ? null : indent + STEP;
        while (items.hasNext()) {
            if (inner != null) {
                out.append(inner);
            }
            writer.write(items.next(), inner);
            if (items.hasNext()) {
                out.append(inner == null ? ", " : ",");
            }
        }
        if (any && indent != null) {
            out.append(indent);
        }
        out.append(close);
    }

    private static boolean isFinite(Object value) {
        return value instanceof Number number && Double.isFinite(number.doubleValue());
    }

    private static void quote(StringBuilder out, String text) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\t' -> out.append("\\t");
                case '\r' -> out.append("\\r");
                default -> {
                    if (c < 0x20 || c == 0x7f) {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
                }
            }
        }
        out.append('"');
    }
}
